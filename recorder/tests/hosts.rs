//! Hosts that refuse: no permission, no BTF. `doctor` reports both in advance.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value as Json;
use tempfile::TempDir;

mod common;
use common::{RECORDER, one_line, require_root};

/// Runs the recorder as the user nobody, from a copy that this user may not read.
fn as_nobody(dir: &TempDir, arguments: &[&str]) -> Output {
    require_root();
    open_to_all(dir.path());
    let copy = dir.path().join("tcprst-record");
    // Another process copies the file: a copy written here is "text file busy" while a child of
    // another test, between its fork and its exec, shares the descriptor.
    let installed = Command::new("install").args(["-m", "755", RECORDER]).arg(&copy).status();
    assert!(installed.expect("install (package coreutils)").success());
    Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(copy)
        .args(arguments)
        .output()
        .expect("setpriv (package util-linux)")
}

fn open_to_all(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o755)).expect("chmod");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn recording_needs_rights() {
    let dir = TempDir::new().expect("a folder");
    let out = dir.path().join("out");
    fs::create_dir(&out).expect("a folder");
    fs::set_permissions(&out, Permissions::from_mode(0o777)).expect("chmod");
    let line = one_line(&as_nobody(&dir, &["--out", text(&out), "--duration", "5s"]), 3);
    assert!(line.contains("CAP_BPF") && line.contains("sudo"), "{line}");
}

#[test]
fn a_folder_that_may_not_be_written_is_refused() {
    let dir = TempDir::new().expect("a folder");
    let out = dir.path().join("out");
    let line = one_line(&as_nobody(&dir, &["--out", text(&out), "--duration", "5s"]), 3);
    assert!(line.contains(text(&out)) || line.contains("CAP_BPF"), "{line}");
    assert!(!out.exists());
}

#[test]
fn doctor_needs_rights() {
    let dir = TempDir::new().expect("a folder");
    let line = one_line(&as_nobody(&dir, &["doctor"]), 3);
    assert!(line.contains("CAP_BPF"), "{line}");
}

/// Runs the recorder where the kernel shows no BTF: in its own mount namespace, with an empty
/// /sys/kernel/btf.
fn without_btf(arguments: &[&str]) -> Output {
    require_root();
    Command::new("unshare")
        .args(["--mount", "sh", "-c", "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"", "sh"])
        .arg(RECORDER)
        .args(arguments)
        .output()
        .expect("unshare (package util-linux)")
}

#[test]
fn a_kernel_without_btf_is_unsupported() {
    let dir = TempDir::new().expect("a folder");
    let out = dir.path().join("out");
    for arguments in [&["--out", text(&out), "--duration", "5s"][..], &["doctor"]] {
        let line = one_line(&without_btf(arguments), 4);
        assert!(line.contains("BTF"), "{line}");
    }
}

fn doctor(arguments: &[&str]) -> String {
    require_root();
    let output = Command::new(RECORDER).arg("doctor").args(arguments).output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

const SITES: [&str; 10] = [
    "tcp_send_active_reset",
    "tcp_v4_send_reset",
    "tcp_v6_send_reset",
    "nf_send_reset",
    "nf_send_reset6",
    "nf_reject_skb_v4_tcp_reset",
    "nf_reject_skb_v6_tcp_reset",
    "tcp_reset",
    "__icmp_send",
    "icmp6_send",
];

#[test]
fn doctor_tells_of_each_site() {
    let report: Json = serde_json::from_str(&doctor(&["--json"])).expect("JSON");
    let sites = report["sites"].as_array().expect("sites");
    let names: Vec<_> = sites.iter().filter_map(|site| site["site"].as_str()).collect();
    assert_eq!(names, SITES);
    for site in &sites[..3] {
        assert!(site["hook"].is_string(), "TCP's own sites are seen on this kernel: {site}");
    }
    for site in sites {
        assert!(site["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{site}");
        let says_why = site["why"].as_str().is_some_and(|why| !why.is_empty());
        assert_eq!(says_why, site["hook"].is_string(), "{site}");
        assert!(site["waiting"].is_null() || site["hook"].is_string(), "{site}");
    }
    let options: Vec<_> = sites.iter().map(|site| site["option"].as_str()).collect();
    assert_eq!(options[..7], [None; 7]);
    assert_eq!(options[7..], [Some("--received"), Some("--icmp"), Some("--icmp")]);
    assert_eq!(report["symbols"], true);
    assert!(report["reasons"].as_u64().is_some_and(|reasons| reasons > 10), "{report}");

    let text = doctor(&[]);
    for site in SITES {
        assert!(
            text.lines().any(|line| line.split_whitespace().any(|word| word == site)),
            "{text}"
        );
    }
}

#[test]
fn usage_errors_exit_with_2() {
    let dir = TempDir::new().expect("a folder");
    let out = text(dir.path());
    for wrong in [
        &[][..],
        &["--out"],
        &["--out", out, "--ring-size", "5000"],
        &["--out", out, "--rotate-interval", "0s"],
        &["--out", out, "--rotate-size", "many"],
        &["--out", out, "--stack-depth", "1000"],
        &["--out", out, "--print=xml"],
        &["--out", out, "--no-such-option"],
        &["--out", out, "doctor"],
        &["doctor", "--xml"],
    ] {
        let output = Command::new(RECORDER).args(wrong).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{wrong:?}: {output:?}");
    }
    assert_eq!(fs::read_dir(dir.path()).expect("the folder").count(), 0, "nothing was made");
}

#[test]
fn help_and_version_go_to_stdout() {
    for (argument, shown) in [("--help", "--rotate-interval"), ("--version", "tcprst-record ")] {
        let output = Command::new(RECORDER).arg(argument).output().expect("it starts");
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains(shown), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    }
}
