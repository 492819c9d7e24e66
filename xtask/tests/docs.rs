//! The documents are what the tables give. The program is run, so that Cargo builds it for the
//! other tests, which find it in its folder.

use std::process::Command;

#[test]
fn the_documents_are_what_the_tables_give() {
    let check = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["docs", "--check"]).output();
    let check = check.expect("xtask starts");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}
