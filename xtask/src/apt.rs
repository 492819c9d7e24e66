//! Asks Debian's archive through apt, with lists of its own: what is installed on this machine
//! and which releases it follows plays no part. Another system with apt can ask it too.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The package that depends on a suite's newest cloud kernel.
const NEWEST: &str = "linux-image-cloud-amd64";
/// The keys that sign Debian's archive.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where a new installation of Debian has its packages from: for a machine that is not Debian.
const DEFAULT_MAIN: &str = "http://deb.debian.org/debian/";
const DEFAULT_SECURITY: &str = "http://deb.debian.org/debian-security/";

/// A package of exactly one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// The packages of one kernel: image, modules and what else holds files of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KernelPackages {
    /// The version of the kernel's packages.
    pub(crate) version: String,
    pub(crate) packages: Vec<Package>,
}

/// apt as seen from one suite.
#[derive(Debug)]
pub(crate) struct Suite {
    dir: PathBuf,
    name: &'static str,
}

impl Suite {
    /// Fetches the suite's lists into `dir`, from the mirror that this machine uses itself, or from
    /// Debian's default one.
    pub(crate) fn update(dir: &Path, name: &'static str) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(part))?;
        }
        fs::write(dir.join("status"), "")?;
        fs::write(dir.join("sources.list"), sources(&mirrors()?, name)?)?;
        let suite = Self { dir: dir.to_owned(), name };
        let mut update = suite.apt("apt-get");
        update.args(["-o", "Acquire::Languages=none", "-o", "APT::Sandbox::User=root"]);
        update.args(["-q", "-q", "update"]);
        output(&mut update).with_context(|| format!("apt lists of {name}"))?;
        Ok(suite)
    }

    fn apt(&self, program: &str) -> Command {
        let dir = self.dir.display();
        let mut command = Command::new(program);
        for option in [
            format!("Dir::Etc::sourcelist={dir}/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            format!("Dir::State::lists={dir}/lists"),
            format!("Dir::State::status={dir}/status"),
            format!("Dir::Cache={dir}/cache"),
            "APT::Architecture=amd64".to_owned(),
            "APT::Architectures=amd64".to_owned(),
            // Descriptions of desktop programs, of no use here.
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        // Its words are read below.
        command.env("LC_ALL", "C");
        command
    }

    /// The suite's newest cloud kernel.
    pub(crate) fn newest(&self) -> Result<KernelPackages> {
        newest(|name| {
            let mut show = self.apt("apt-cache");
            output(show.args(["show", "--no-all-versions", name]))
                .with_context(|| format!("{} has no {name}", self.name))
        })
    }

    /// The versions of a package that the suite has, newest first.
    pub(crate) fn versions(&self, package: &str) -> Result<Vec<String>> {
        let mut madison = self.apt("apt-cache");
        let listed = output(madison.args(["madison", package]))
            .with_context(|| format!("versions of {package} in {}", self.name))?;
        Ok(listed.lines().filter_map(version_in).collect())
    }

    /// Downloads packages into `dir` and returns the archives.
    pub(crate) fn download(&self, packages: &[Package], dir: &Path) -> Result<Vec<PathBuf>> {
        let mut download = self.apt("apt-get");
        download.args(["-o", "APT::Sandbox::User=root", "-q", "-q", "download"]).current_dir(dir);
        download
            .args(packages.iter().map(|package| format!("{}={}", package.name, package.version)));
        output(&mut download).with_context(|| format!("download packages of {}", self.name))?;
        let archives: Vec<PathBuf> = fs::read_dir(dir)?
            .map(|entry| Ok(entry?.path()))
            .filter(|path: &Result<PathBuf>| {
                path.as_ref().is_ok_and(|path| path.extension().is_some_and(|end| end == "deb"))
            })
            .collect::<Result<_>>()?;
        ensure!(archives.len() == packages.len(), "apt-get did not download all of {packages:?}");
        Ok(archives)
    }
}

/// The second column of a line of `apt-cache madison`.
fn version_in(line: &str) -> Option<String> {
    line.split('|').nth(1).map(|version| version.trim().to_owned())
}

/// Where Debian's packages come from.
#[derive(Debug)]
struct Mirrors {
    main: String,
    /// Not every mirror has it.
    security: Option<String>,
}

fn mirrors() -> Result<Mirrors> {
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(REPO_URI)", "Identifier: Packages"]);
    Ok(choose_mirrors(&output(&mut targets).context("ask apt for this machine's mirror")?))
}

/// The mirror of Debian's own packages.
pub(crate) fn mirror() -> Result<String> {
    Ok(mirrors()?.main)
}

/// The mirrors of Debian among the addresses that apt uses, or else the default ones.
fn choose_mirrors(uris: &str) -> Mirrors {
    let ending = |end: &str| uris.lines().find(|uri| uri.ends_with(end)).map(str::to_owned);
    match ending("/debian/") {
        Some(main) => Mirrors { main, security: ending("/debian-security/") },
        None => {
            Mirrors { main: DEFAULT_MAIN.to_owned(), security: Some(DEFAULT_SECURITY.to_owned()) }
        }
    }
}

fn sources(mirrors: &Mirrors, suite: &str) -> Result<String> {
    let mut text = format!("deb [signed-by={KEYRING}] {} {suite} main\n", mirrors.main);
    // Backports and sid have no security suite.
    if let (Some(security), false) = (&mirrors.security, suite.contains('-') || suite == "sid") {
        writeln!(text, "deb [signed-by={KEYRING}] {security} {suite}-security main")?;
    }
    Ok(text)
}

/// Follows the newest kernel's package to all that are made of the same source: up to 6.x the
/// image holds everything, from 7.x on it is split into binary, modules and base.
fn newest(show: impl Fn(&str) -> Result<String>) -> Result<KernelPackages> {
    let meta = show(NEWEST)?;
    let version = field(&meta, "Version").with_context(|| format!("{NEWEST} has no version"))?;
    let mut packages: Vec<Package> = vec![];
    let mut waiting = same_source(&meta, version);
    while let Some(name) = waiting.pop() {
        if packages.iter().any(|package| package.name == name) {
            continue;
        }
        waiting.extend(same_source(&show(&name)?, version));
        packages.push(Package { name, version: version.to_owned() });
    }
    ensure!(!packages.is_empty(), "{NEWEST} {version} depends on no kernel");
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(KernelPackages { version: version.to_owned(), packages })
}

/// The value of a field of apt's first answer.
fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let first = answer.split("\n\n").next()?;
    first.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Dependencies on `linux-*` packages of exactly this version.
fn same_source(answer: &str, version: &str) -> Vec<String> {
    let exact = format!("(= {version})");
    field(answer, "Depends")
        .unwrap_or_default()
        .split(", ")
        .filter(|dependency| dependency.starts_with("linux-") && dependency.ends_with(&exact))
        .filter_map(|dependency| Some(dependency.split_once(' ')?.0.to_owned()))
        .collect()
}

/// Runs a command that must succeed and returns what it printed.
fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let done = command.output().with_context(|| format!("cannot run {program}"))?;
    ensure!(
        done.status.success(),
        "{program}: {}: {}",
        done.status,
        String::from_utf8_lossy(&done.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    const MIRROR: &str = "http://mirror.example/debian/";

    #[test]
    fn mirrors_are_those_of_the_machine() -> Result<()> {
        let found = choose_mirrors(&format!(
            "https://other.example/\n{MIRROR}\n{MIRROR}\nhttp://s.example/debian-security/\n"
        ));
        let bookworm = sources(&found, "bookworm")?;
        assert!(bookworm.contains(&format!("{MIRROR} bookworm main\n")), "{bookworm}");
        assert!(bookworm.contains("bookworm-security main\n"), "{bookworm}");
        assert_eq!(sources(&found, "trixie-backports")?.lines().count(), 1);
        assert_eq!(sources(&found, "sid")?.lines().count(), 1);
        let only_main = choose_mirrors(&format!("{MIRROR}\n"));
        assert_eq!(sources(&only_main, "bookworm")?.lines().count(), 1);
        Ok(())
    }

    #[test]
    fn a_machine_that_is_not_debian_asks_the_default_mirrors() -> Result<()> {
        let bookworm = sources(&choose_mirrors("http://other.example/ubuntu/\n"), "bookworm")?;
        assert!(bookworm.contains(&format!("{DEFAULT_MAIN} bookworm main\n")), "{bookworm}");
        assert!(bookworm.contains(&format!("{DEFAULT_SECURITY} bookworm-security")), "{bookworm}");
        Ok(())
    }

    fn archive(name: &str) -> Result<String> {
        let (version, depends) = match name {
            NEWEST => {
                ("7.3.4-1", "linux-base-cloud (= 7.3.4-1), linux-image-7.3.4-cloud (= 7.3.4-1)")
            }
            "linux-image-7.3.4-cloud" => (
                "7.3.4-1",
                "dracut | linux-initramfs-tool, linux-base (>= 4.3), linux-binary-7.3.4-cloud (= \
                 7.3.4-1), linux-modules-7.3.4-cloud (= 7.3.4-1)",
            ),
            "linux-base-cloud" | "linux-binary-7.3.4-cloud" | "linux-modules-7.3.4-cloud" => {
                ("7.3.4-1", "kmod")
            }
            _ => bail!("no {name}"),
        };
        Ok(format!("Package: {name}\nVersion: {version}\nDepends: {depends}\n\n"))
    }

    #[test]
    fn a_kernel_is_all_packages_of_its_source() -> Result<()> {
        let found = newest(archive)?;
        let names: Vec<_> = found.packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(found.version, "7.3.4-1");
        assert_eq!(
            names,
            [
                "linux-base-cloud",
                "linux-binary-7.3.4-cloud",
                "linux-image-7.3.4-cloud",
                "linux-modules-7.3.4-cloud"
            ]
        );
        Ok(())
    }

    #[test]
    fn a_version_is_read_from_the_list() {
        let line = "  rust-src | 1.95.0+dfsg1-1 | http://mirror.example/debian sid/main amd64";
        assert_eq!(version_in(line).as_deref(), Some("1.95.0+dfsg1-1"));
        assert_eq!(version_in(""), None);
    }

    #[test]
    fn an_archive_without_a_kernel_is_an_error() {
        assert!(newest(|_| bail!("nothing")).is_err());
        assert!(newest(|_| Ok("Package: x\nVersion: 1\n".to_owned())).is_err());
    }
}
