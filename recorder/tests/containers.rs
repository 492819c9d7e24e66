//! Real podman, dockerd and containerd with pods: each reset names exactly its container.

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
