//! From arguments to exit code; everything else is in the library.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use tcprst_analyzer::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Free memory that glibc keeps, in bytes.
#[cfg(target_env = "gnu")]
const KEPT: i32 = 64 << 20;

/// Rust code allocates from mimalloc, but zstd uses C's `malloc`: a context of about 100 KB for
/// each column of each file, which glibc would return to the kernel and request again each time.
/// Over 4,027 files that took a quarter of a query's time.
#[cfg(target_env = "gnu")]
fn keep_memory_of_c() {
    use nix::libc::{M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, mallopt};
    // A refused value changes nothing, and correctness does not depend on it.
    for setting in [M_MMAP_THRESHOLD, M_TRIM_THRESHOLD] {
        // SAFETY: mallopt takes two numbers and stores them; no other thread runs yet.
        let _ = unsafe { mallopt(setting, KEPT) };
    }
}

#[cfg(not(target_env = "gnu"))]
fn keep_memory_of_c() {}

/// SQL that begins with a comment is not an option, although it begins with `--`.
fn comment_is_sql(argument: OsString) -> OsString {
    let text = argument.as_encoded_bytes();
    if !(text.starts_with(b"--") && text[2..].first().is_some_and(u8::is_ascii_whitespace)) {
        return argument;
    }
    let mut sql = OsString::from(" ");
    sql.push(argument);
    sql
}

fn main() -> ExitCode {
    keep_memory_of_c();
    let cli = Cli::parse_from(std::env::args_os().map(comment_is_sql));
    match tcprst_analyzer::run(&cli) {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => {
            tcprst_analyzer::tell(&error);
            error.exit_code()
        }
    }
}
