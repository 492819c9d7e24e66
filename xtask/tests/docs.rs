//! The documents are what the tables give. The program is run, so that Cargo builds it for the
//! other tests, which find it in its folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root of the checkout").to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

#[test]
fn the_documents_are_what_the_tables_give() {
    let check = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["docs", "--check"]).output();
    let check = check.expect("xtask starts");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}

/// README shows an answer as the program gives it, which a test of the analyzer keeps in a snapshot.
#[test]
fn the_readme_shows_what_the_program_prints() {
    let readme = read("README.md");
    let (_, block) = readme.split_once(" explain 4018250051898\n").expect("README's example");
    let (answer, _) = block.split_once("```").expect("the end of its block");
    let snapshot = read("analyzer/tests/snapshots/reports__explain_event_container.snap");
    assert!(snapshot.contains(answer), "README's example is not what the snapshot has:\n{answer}");
}

#[test]
fn no_document_has_a_gap_to_fill_in() {
    let documents = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];
    let guides = fs::read_dir(root().join("docs")).expect("docs").flatten();
    let guides =
        guides.map(|entry| entry.path()).filter(|p| p.extension().is_some_and(|e| e == "md"));
    for path in documents.iter().map(|name| root().join(name)).chain(guides) {
        let text = fs::read_to_string(&path).expect("a document");
        assert!(!text.contains("@@"), "{} has a placeholder", path.display());
    }
}
