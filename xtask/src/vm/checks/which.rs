//! The tests, where each runs, and on which machine.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::vm::kernels::{HARDENED, HOST, MANY_CPUS, SYSTEM};

/// A test by the name that `--test` gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Test {
    /// Every scenario is recorded once with its cause, and the ledger balances
    Causes,
    /// doctor reports every site
    Doctor,
    /// Without BTF: exit code 4 and one line
    NoBtf,
    /// A netfilter module that is loaded after the start, and again after it was unloaded
    Modules,
    /// With `bpf_jit_harden=2`, and with `kptr_restrict=1`: the causes are the same, and no file
    /// holds an address of the kernel
    Hardened,
    /// On 64 CPUs: every reset is written, and the owners of sockets on each CPU are known
    ManyCpus,
    /// Real podman, docker and containerd under systemd with cgroup v2 alone: each reset names
    /// exactly its container
    Containers,
}

impl Test {
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The machine that it needs.
    pub(crate) fn boot(self) -> Boot {
        match self {
            Test::Causes | Test::Doctor | Test::NoBtf | Test::Hardened => Boot::Usual,
            Test::Modules => Boot::NoModules,
            Test::ManyCpus => Boot::ManyCpus,
            Test::Containers => Boot::System,
        }
    }

    /// Whether it runs on a kernel line, or on [`HOST`]: not there if it would change settings or
    /// modules of a machine that is in use, and for the tests of containers, which are among the
    /// tests of the recorder.
    pub(crate) fn runs_on(self, line: &str) -> bool {
        match self {
            Test::Causes | Test::Doctor | Test::NoBtf => true,
            Test::Modules => line != HOST,
            Test::Hardened => HARDENED.contains(&line),
            Test::ManyCpus => MANY_CPUS.contains(&line),
            Test::Containers => line == SYSTEM,
        }
    }
}

/// The machines that a kernel is booted on; one boot for all tests that need the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Boot {
    Usual,
    /// No netfilter module was loaded yet, and they may come and go.
    NoModules,
    /// [`super::many_cpus::CPUS`] of them.
    ManyCpus,
    /// A system with systemd and container runtimes.
    System,
}

impl Boot {
    pub(crate) const ALL: [Self; 4] = [Self::Usual, Self::NoModules, Self::ManyCpus, Self::System];

    /// The end of the names of its logs.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Boot::Usual => "",
            Boot::NoModules => "-modules",
            Boot::ManyCpus => "-cpus",
            Boot::System => "-system",
        }
    }
}
