//! Errors of the recorder, and the exit code of each.

use std::io;
use std::path::PathBuf;

use tcprst_schema::footer::FooterError;
use tcprst_schema::writer::WriteError;

/// Exit codes of the program: ripgrep's contract, and two more.
mod exit_code {
    pub(super) const FAILED: u8 = 1;
    pub(super) const USAGE: u8 = 2;
    pub(super) const NOT_PERMITTED: u8 = 3;
    pub(super) const UNSUPPORTED: u8 = 4;
}

/// Every failure of the recorder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "not permitted: recording needs root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN: run it with sudo"
    )]
    NotPermitted,
    #[error("{0}")]
    Usage(String),
    #[error("not permitted: --audit also needs CAP_NET_RAW: run it with sudo, or without --audit")]
    AuditNotPermitted,
    #[error("this kernel has no BTF ({path}: {source}): tcprst needs a kernel built with CONFIG_DEBUG_INFO_BTF=y", path = path.display())]
    NoBtf { path: PathBuf, source: io::Error },
    #[error("cannot read the kernel's BTF in {path}: {source}: the file may be incomplete", path = path.display())]
    InvalidBtf { path: PathBuf, source: btf_rs::Error },
    #[error("this kernel's BTF has no {structure}.{path}: please report this kernel version")]
    NoMember { structure: &'static str, path: &'static str },
    #[error("none of this kernel's reset functions can be hooked: run `tcprst-record doctor`")]
    NoHook,
    #[error("cannot load the BPF object: {0}")]
    Load(#[source] Box<aya::EbpfError>),
    #[error("cannot use BPF map {name}: {source}")]
    Map { name: &'static str, source: aya::maps::MapError },
    #[error("the BPF object has no {0}: rebuild it with `cargo xtask ebpf build`")]
    Missing(&'static str),
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{dir} is in use by another tcprst-record ({holder}): give each recorder its own folder", dir = dir.display())]
    Locked { dir: PathBuf, holder: String },
    #[error("cannot write {path}: {source}", path = path.display())]
    Parquet { path: PathBuf, source: parquet::errors::ParquetError },
    #[error("cannot write {path}: {source}", path = path.display())]
    Spool { path: PathBuf, source: arrow_schema::ArrowError },
    #[error("{path} is damaged: {source}", path = path.display())]
    DamagedSpool { path: PathBuf, source: arrow_schema::ArrowError },
    #[error("the spool has no column {0}")]
    MissingColumn(&'static str),
    #[error("a batch of rows does not match its schema: {0}")]
    Batch(#[source] arrow_schema::ArrowError),
    #[error(transparent)]
    Footer(#[from] FooterError),
    #[error("cannot {0}: {1}")]
    System(&'static str, #[source] io::Error),
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Io { action, path, source } => Self::Io { action, path, source },
            WriteError::Parquet { path, source } => Self::Parquet { path, source },
            WriteError::Footer(source) => Self::Footer(source),
        }
    }
}

/// Result of the recorder.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Wraps an I/O error with the action and the path.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Exit code of a process that fails with this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => exit_code::USAGE,
            Self::NotPermitted | Self::AuditNotPermitted => exit_code::NOT_PERMITTED,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                exit_code::NOT_PERMITTED
            }
            Self::NoBtf { .. } | Self::InvalidBtf { .. } | Self::NoMember { .. } | Self::NoHook => {
                exit_code::UNSUPPORTED
            }
            _ => exit_code::FAILED,
        }
    }
}
