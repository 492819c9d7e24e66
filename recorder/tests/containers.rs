//! Real podman, dockerd and containerd with pods: each reset names exactly its container.

use std::ffi::OsStr;
use std::path::Path;

use scenarios::{ContainersPlan, play_in_containers};
use tempfile::TempDir;

mod common;
use common::{RECORDER, require_root};

#[test]
fn each_reset_names_exactly_its_container() {
    require_root();
    let dir = TempDir::new().expect("a folder");
    // Cargo puts all programs into one folder.
    let actor = Path::new(RECORDER).with_file_name("xtask");
    assert!(actor.is_file(), "{} is missing: run `{}`", actor.display(), build_command(&actor));
    let plan = ContainersPlan::whole(Path::new(RECORDER), &actor, dir.path());
    let verdict = play_in_containers(&plan).expect("it plays");
    for line in verdict.lines() {
        eprintln!("{line}");
    }
    assert!(verdict.faults.is_empty(), "{}", verdict.faults.join("\n"));
    // Ten containers of each runtime. Resets by netfilter are only seen where the kernel has
    // kprobes, as the guests of `cargo xtask vm` do.
    assert_eq!(verdict.right.len() + verdict.unhooked.len(), 33, "{verdict:?}");
    assert!(verdict.unhooked.iter().all(|line| line.contains("fw_iptables")), "{verdict:?}");
    assert_eq!(verdict.briefs.len(), 3);
}

/// The command that builds `program` into its folder, which Cargo names after the profile.
fn build_command(program: &Path) -> String {
    let folder = program.parent().and_then(Path::file_name).and_then(OsStr::to_str);
    let profile = match folder {
        Some("debug") | None => String::new(),
        Some("release") => " --release".to_owned(),
        Some(other) => format!(" --profile {other}"),
    };
    format!("cargo build{profile} --bin xtask")
}

#[test]
fn a_missing_actor_is_built_in_the_profile_of_the_test() {
    let command = |folder: &str| build_command(&Path::new("/target").join(folder).join("xtask"));
    assert_eq!(command("release"), "cargo build --release --bin xtask");
    assert_eq!(command("debug"), "cargo build --bin xtask");
    assert_eq!(command("profiling"), "cargo build --profile profiling --bin xtask");
}
