//! What a query may use and touch, as arguments.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use bytesize::ByteSize;

/// What a query may use and touch.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct EngineOptions {
    /// Memory for sorting, grouping and joining, as in `2GiB`; what needs more goes to the disk
    /// [default: three quarters of what is free]
    #[arg(long, value_name = "SIZE", global = true)]
    pub memory_limit: Option<ByteSize>,

    /// Folder for what does not fit into memory [default: the system's for temporary files]
    #[arg(long, value_name = "DIR", global = true)]
    pub spill_dir: Option<PathBuf>,

    /// Threads of a query [default: one for each CPU]
    #[arg(long, value_name = "N", global = true)]
    pub threads: Option<NonZeroUsize>,

    /// Let SQL do more than read the recording: read other files ('x.parquet', CREATE EXTERNAL
    /// TABLE), write files (COPY, INSERT), make tables and views, SET options. The recording
    /// itself is never written to
    #[arg(long, global = true)]
    pub allow_files: bool,
}
