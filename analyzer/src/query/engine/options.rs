//! What a query may use and touch, as arguments.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use bytesize::ByteSize;

use crate::output::numbers::{parse_nonzero, parse_size};

/// What a query may use and touch.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct EngineOptions {
    /// Memory for sorting, grouping and joining, such as `2GiB`; larger data is spilled to disk
    /// [default: three quarters of the free memory]
    #[arg(long, value_name = "SIZE", global = true, value_parser = parse_size)]
    pub memory_limit: Option<ByteSize>,

    /// Folder for spilled data [default: the system's folder for temporary files]
    #[arg(long, value_name = "DIR", global = true)]
    pub spill_dir: Option<PathBuf>,

    /// Number of threads of a query [default: one per CPU]
    #[arg(long, value_name = "N", global = true, value_parser = parse_nonzero)]
    pub threads: Option<NonZeroUsize>,

    /// Let SQL do more than read the recording: read other files ('x.parquet', CREATE EXTERNAL
    /// TABLE), write files (COPY, INSERT), create tables and views, SET options. The recording
    /// itself is never changed
    #[arg(long, global = true)]
    pub allow_files: bool,
}
