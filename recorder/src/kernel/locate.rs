//! Finds the functions that we hook: in the kernel image, in a module, or nowhere.

use std::collections::{HashMap, HashSet};
use std::fs;

use tcprst_schema::hook::{ACCEPT_HOOKS, HOOKS, Hook, SITES};

use crate::kernel::kallsyms::{self, Symbol};
use crate::kernel::proc::MODULES;

/// Targets of [`HOOKS`] as found in /proc/kallsyms and /proc/modules.
#[derive(Debug)]
pub(crate) struct Functions {
    /// Maps a target to its module; `None` is the image.
    found: HashMap<&'static str, Option<String>>,
    loaded: HashSet<String>,
    release: Release,
}

/// Location of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FunctionPlace {
    Image,
    /// In this module, which is loaded.
    Loaded(String),
    /// In this module if it exists: the module is not loaded.
    Awaited(&'static str),
    Nowhere,
}

/// First two numbers of the kernel's release.
type Release = (u32, u32);

impl Functions {
    /// Reads the functions of the running kernel.
    pub(crate) fn read(release: &str) -> Self {
        let modules = fs::read_to_string(MODULES).unwrap_or_default();
        Self::from_lines(|each| kallsyms::read(each), &modules, release)
    }

    fn from_lines(
        read: impl FnOnce(&mut dyn FnMut(Symbol<'_>)),
        modules: &str,
        release: &str,
    ) -> Self {
        let targets: HashSet<&'static str> =
            HOOKS.iter().chain(ACCEPT_HOOKS).map(|hook| hook.target).collect();
        let mut found = HashMap::new();
        read(&mut |symbol| {
            if let Some(name) = targets.get(symbol.name) {
                found.insert(*name, symbol.module.map(str::to_owned));
            }
        });
        let first = |line: &str| line.split_ascii_whitespace().next().map(str::to_owned);
        Self {
            found,
            loaded: modules.lines().filter_map(first).collect(),
            release: numbers(release),
        }
    }

    /// Location of a hook's target.
    pub(crate) fn place(&self, hook: &Hook) -> FunctionPlace {
        match (self.found.get(hook.target), module_of(hook)) {
            (Some(None), _) => FunctionPlace::Image,
            (Some(Some(module)), _) => FunctionPlace::Loaded(module.clone()),
            (None, Some(module)) if !self.loaded.contains(module) => FunctionPlace::Awaited(module),
            (None, _) => FunctionPlace::Nowhere,
        }
    }

    /// Whether netfilter builds the resets of bridges and devices in
    /// `nf_reject_skb_v{4,6}_tcp_reset`. While the module is not loaded, the kernel's release
    /// decides (fa538f7cf05a, 5.11).
    pub(crate) fn has_shared_reject(&self, hook: &Hook) -> bool {
        let is_shared = |other: &&Hook| {
            other.needs == tcprst_schema::hook::Needs::SharedReject && other.sites == hook.sites
        };
        match HOOKS.iter().find(is_shared).map(|shared| self.place(shared)) {
            Some(FunctionPlace::Image | FunctionPlace::Loaded(_)) => true,
            Some(FunctionPlace::Awaited(_)) => self.release >= (5, 11),
            Some(FunctionPlace::Nowhere) | None => false,
        }
    }
}

/// Module of a hook's sites, if they may be in one.
fn module_of(hook: &Hook) -> Option<&'static str> {
    SITES.iter().find(|info| hook.sites.contains(&info.site)).and_then(|info| info.module)
}

fn numbers(release: &str) -> Release {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(symbols: &str, modules: &str, release: &str) -> Functions {
        Functions::from_lines(|each| kallsyms::parse(symbols.as_bytes(), each), modules, release)
    }

    fn hook(program: &str) -> &'static Hook {
        HOOKS.iter().find(|hook| hook.program == program).expect("a hook")
    }

    #[test]
    fn functions_are_in_the_image_in_a_module_or_awaited() {
        let symbols = "ffffffff81000000 T tcp_v4_send_reset\n\
                       ffffffffa0000000 T nf_send_reset\t[nf_reject_ipv4]\n";
        let modules = "nf_reject_ipv4 16384 1 ipt_REJECT, Live 0xffffffffa0000000\n";
        let functions = parsed(symbols, modules, "6.12.107+deb13-cloud-amd64");
        assert_eq!(functions.place(hook("kprobe_v4")), FunctionPlace::Image);
        assert_eq!(
            functions.place(hook("kprobe_nf_v4")),
            FunctionPlace::Loaded("nf_reject_ipv4".into())
        );
        assert_eq!(functions.place(hook("kprobe_nf_v6")), FunctionPlace::Awaited("nf_reject_ipv6"));
        assert_eq!(functions.place(hook("kprobe_active")), FunctionPlace::Nowhere);
        assert_eq!(
            functions.place(hook("kprobe_l2_v4")),
            FunctionPlace::Nowhere,
            "loaded without it"
        );
    }

    #[test]
    fn before_5_11_bridges_build_their_own_resets() {
        let awaited = |release| parsed("", "", release);
        for (release, shared) in
            [("5.10.0-32-cloud-amd64", false), ("5.11.0", true), ("7.3.4", true)]
        {
            assert_eq!(awaited(release).has_shared_reject(hook("kprobe_l2_v4")), shared);
            assert_eq!(awaited(release).has_shared_reject(hook("kprobe_bridge_v6")), shared);
        }
        let modules = "nf_reject_ipv4 16384 1 - Live 0x0\n";
        let loaded = parsed("", modules, "5.15.0");
        assert!(
            !loaded.has_shared_reject(hook("kprobe_bridge_v4")),
            "the module itself knows best"
        );
    }
}
