//! The guests' first and only file system, in three archives that the kernel unpacks one after
//! the other: tools, the kernel's modules, our programs.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::modules::{Module, Modules};

/// Starts everything in a guest.
const INIT: &str = include_str!("init.sh");
/// The same where the guest has a system of its own.
const INIT_DISK: &str = include_str!("init-disk.sh");

/// Folder of the modules in a guest, and the lists of their files in the order of loading.
pub(crate) const MODULES: &str = "/modules";
pub(crate) const BASE_ORDER: &str = "/modules/base.order";
pub(crate) const NETFILTER_ORDER: &str = "/modules/netfilter.order";

/// Programs of this machine that every guest gets.
const TOOLS: &[&str] = &["ip", "ss", "nft", "xtables-legacy-multi", "xtables-nft-multi"];
const LEGACY: &[&str] = &[
    "iptables",
    "iptables-save",
    "iptables-restore",
    "ip6tables",
    "ip6tables-save",
    "ip6tables-restore",
    "iptables-legacy",
    "ip6tables-legacy",
];
const NFT: &[&str] = &["iptables-nft", "ip6tables-nft"];
/// Where the matches and targets of iptables lie, one shared object each.
const XTABLES: &str = "usr/lib/x86_64-linux-gnu/xtables";

/// Tools and `/init`: the same for every kernel.
pub(crate) fn base(work: &Path) -> Result<PathBuf> {
    let root = work.join("base");
    for folder in
        ["bin", "dev", "etc", "proc", "run", "sys", "tmp", "root", "usr/sbin", "usr/bin", "var/run"]
    {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::write(root.join("init"), INIT)?;
    fs::set_permissions(root.join("init"), PermissionsExt::from_mode(0o755))?;
    busybox(&root)?;
    for tool in TOOLS {
        let program = find(tool)?;
        copy(&program, &root.join("usr/sbin").join(tool))?;
        for library in libraries(&program)? {
            copy_in(&library, &root)?;
        }
    }
    for (names, program) in [(LEGACY, "xtables-legacy-multi"), (NFT, "xtables-nft-multi")] {
        for name in names {
            symlink(program, root.join("usr/sbin").join(name))?;
        }
    }
    let plugins = Path::new("/").join(XTABLES);
    for entry in fs::read_dir(&plugins).context("plugins of iptables")? {
        copy_in(&entry?.path(), &root)?;
    }
    archive(&root)
}

/// Busybox, `/init` and the modules for a disk: all that leads to a system of the guest's own.
pub(crate) fn starter(modules: &Modules, work: &Path) -> Result<PathBuf> {
    let root = work.join("starter");
    for folder in ["bin", "dev", "proc", "sys"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::write(root.join("init"), INIT_DISK)?;
    fs::set_permissions(root.join("init"), PermissionsExt::from_mode(0o755))?;
    busybox(&root)?;
    put_modules(&[(&modules.disk, BASE_ORDER)], &root)?;
    archive(&root)
}

/// The static busybox under the names of all its applets.
fn busybox(root: &Path) -> Result<()> {
    let busybox = find("busybox")?;
    if !libraries(&busybox)?.is_empty() {
        bail!("busybox is not static: install the package busybox-static");
    }
    copy(&busybox, &root.join("bin/busybox"))?;
    let applets = Command::new(&busybox).arg("--list").output().context("run busybox")?;
    for applet in String::from_utf8_lossy(&applets.stdout).lines() {
        if applet != "busybox" {
            symlink("busybox", root.join("bin").join(applet))?;
        }
    }
    Ok(())
}

/// A kernel's modules, without compression: a guest would take long for it.
pub(crate) fn modules(modules: &Modules, work: &Path) -> Result<PathBuf> {
    let root = work.join("modules");
    put_modules(&[(&modules.base, BASE_ORDER), (&modules.netfilter, NETFILTER_ORDER)], &root)?;
    archive(&root)
}

/// Puts modules below `root`, and lists of their names.
fn put_modules(lists: &[(&Vec<Module>, &str)], root: &Path) -> Result<()> {
    let folder = root.join(MODULES.trim_start_matches('/'));
    fs::create_dir_all(&folder)?;
    for (list, order) in lists {
        let mut names = String::new();
        for module in *list {
            decompress(module, &folder.join(format!("{}.ko", module.name)))?;
            names += &module.name;
            names.push('\n');
        }
        fs::write(root.join(order.trim_start_matches('/')), names)?;
    }
    Ok(())
}

fn decompress(module: &Module, to: &Path) -> Result<()> {
    let shown = module.file.display();
    match module.file.extension().and_then(|end| end.to_str()) {
        Some("ko") => copy(&module.file, to),
        Some("xz") => {
            let mut xz = Command::new("xz");
            xz.arg("-dc").arg(&module.file).stdout(File::create(to)?);
            let status = xz.status().context("cannot run xz")?;
            ensure!(status.success(), "cannot decompress {shown}");
            Ok(())
        }
        _ => bail!("{shown} is compressed in a way that this program does not know"),
    }
}

/// Our programs, which must be static.
pub(crate) fn programs(programs: &[PathBuf], work: &Path) -> Result<PathBuf> {
    let root = work.join("programs");
    fs::create_dir_all(root.join("bin"))?;
    for program in programs {
        let shown = program.display();
        ensure!(program.is_file(), "{shown} is missing: run `cargo build --release`");
        ensure!(libraries(program)?.is_empty(), "{shown} is not static");
        copy(program, &root.join("bin").join(program.file_name().unwrap_or_default()))?;
    }
    archive(&root)
}

/// The archives as one file.
pub(crate) fn join(parts: &[&Path], to: &Path) -> Result<()> {
    let mut whole = File::create(to)?;
    for part in parts {
        io::copy(&mut File::open(part)?, &mut whole)?;
    }
    Ok(())
}

fn find(program: &str) -> Result<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.is_file())
        .with_context(|| format!("no {program} on this machine"))
}

/// Shared objects that a program needs, the loader among them; none if it is static.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let said = Command::new("ldd").arg(program).env("LC_ALL", "C").output();
    let said = said.context("cannot run ldd")?;
    // For a static program it fails, or names none.
    libraries_of(&String::from_utf8_lossy(&said.stdout))
        .with_context(|| format!("{} lacks a library", program.display()))
}

fn libraries_of(said: &str) -> Result<Vec<PathBuf>> {
    let mut found = vec![];
    for line in said.lines() {
        ensure!(!line.contains("not found"), "{}", line.trim());
        // `libmnl.so.0 => /lib/libmnl.so.0 (0x...)`, or the loader's path alone.
        found.extend(
            line.split_ascii_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from),
        );
    }
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("copy {}", from.display()))?;
    Ok(())
}

/// Copies a file to its own path below `root`.
fn copy_in(file: &Path, root: &Path) -> Result<()> {
    let to = root.join(file.strip_prefix("/")?);
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    copy(file, &to)
}

/// Packs a folder in the format that the kernel unpacks, owned by root.
fn archive(root: &Path) -> Result<PathBuf> {
    let archive = root.with_extension("cpio");
    let mut cpio = Command::new("cpio")
        .args(["--create", "--format=newc", "--owner=+0:+0", "--null", "--quiet"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(File::create(&archive)?)
        .spawn()
        .context("cannot run cpio")?;
    let mut names = vec![];
    walk(root, Path::new(""), &mut names)?;
    let list: String = names.iter().map(|name| format!("{}\0", name.display())).collect();
    // Dropped after the write: cpio waits for the end.
    cpio.stdin.take().context("no stdin of cpio")?.write_all(list.as_bytes())?;
    let status = cpio.wait()?;
    ensure!(status.success(), "cpio: {status}");
    Ok(archive)
}

/// Everything below `root`, folders before what is in them.
fn walk(root: &Path, below: &Path, names: &mut Vec<PathBuf>) -> Result<()> {
    let mut entries: Vec<_> = fs::read_dir(root.join(below))?.collect::<io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = below.join(entry.file_name());
        names.push(name.clone());
        if entry.file_type()?.is_dir() {
            walk(root, &name, names)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_ldd() -> Result<()> {
        let said = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibmnl.so.0 => /lib/x86_64-linux-gnu/libmnl.so.0 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let found = libraries_of(said)?;
        assert_eq!(
            found,
            [
                Path::new("/lib/x86_64-linux-gnu/libmnl.so.0"),
                Path::new("/lib64/ld-linux-x86-64.so.2")
            ]
        );
        assert!(libraries_of("\tstatically linked\n")?.is_empty());
        assert!(libraries_of("\tlibx.so => not found\n").is_err());
        Ok(())
    }

    #[test]
    fn a_folder_is_listed_from_the_top() -> Result<()> {
        let dir = tempfile::tempdir()?;
        fs::create_dir_all(dir.path().join("a/b"))?;
        fs::write(dir.path().join("a/b/c"), "")?;
        let mut names = vec![];
        walk(dir.path(), Path::new(""), &mut names)?;
        assert_eq!(names, [Path::new("a"), Path::new("a/b"), Path::new("a/b/c")]);
        Ok(())
    }
}
