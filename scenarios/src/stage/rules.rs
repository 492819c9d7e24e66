//! Firewall rules that last as long as their handle.

use anyhow::{Result, bail};

use crate::scene::Impossible;
use crate::stage::tool::{installed, tool, try_tool};
use crate::stage::topology::Family;

/// The nf_tables table of the scenarios.
const TABLE: &str = "tcprst";

/// Where nf_tables looks at packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NftChain {
    /// `ip`, `ip6`, `inet`, `bridge` or `netdev`.
    pub(crate) family: &'static str,
    /// `input`, `output`, `forward` or `prerouting`; or `ingress device "NAME"`.
    pub(crate) hook: &'static str,
}

/// A table of nf_tables with one rule; deleted when dropped.
#[derive(Debug)]
pub(crate) struct NftRule {
    family: &'static str,
}

impl NftRule {
    /// `verdict` for what goes to TCP port `port`.
    pub(crate) fn add(chain: NftChain, port: u16, verdict: &str) -> Result<Self> {
        let NftChain { family, hook } = chain;
        let script = format!(
            "add table {family} {TABLE}\n\
             add chain {family} {TABLE} c {{ type filter hook {hook} priority 0; }}\n\
             add rule {family} {TABLE} c tcp dport {port} {verdict}\n"
        );
        match try_tool("nft", &["-f", "-"], &script)? {
            None => Ok(Self { family }),
            Some(complaint) if lacks_reject(&complaint) => Err(Impossible(format!(
                "this kernel has no nf_tables reject for the family {family} ({})",
                config_of(family)
            ))
            .into()),
            Some(complaint) => bail!(complaint),
        }
    }
}

impl Drop for NftRule {
    fn drop(&mut self) {
        // An error cannot be returned, and the rule ends with the namespace in any case.
        let _ = tool("nft", &["-f", "-"], &format!("delete table {} {TABLE}\n", self.family));
    }
}

/// Whether nft complains of the word `reject`, which it then underlines, or of the whole family.
fn lacks_reject(complaint: &str) -> bool {
    let lines: Vec<&str> = complaint.lines().collect();
    let underlined = lines.windows(2).find_map(|pair| pair[0].get(pair[1].find('^')?..));
    complaint.contains("No such file or directory")
        && underlined.is_some_and(|text| text.starts_with("reject"))
        || complaint.contains("Operation not supported")
        || complaint.contains("Protocol not supported")
}

/// The option that the kernel must be built with.
fn config_of(family: &str) -> &'static str {
    match family {
        "bridge" => "CONFIG_NFT_BRIDGE_REJECT",
        "netdev" => "CONFIG_NFT_REJECT_NETDEV, since 5.11",
        "inet" => "CONFIG_NFT_REJECT_INET",
        "ip6" => "CONFIG_NFT_REJECT_IPV6",
        _ => "CONFIG_NFT_REJECT_IPV4",
    }
}

/// One rule of iptables or ip6tables; deleted when dropped.
#[derive(Debug)]
pub(crate) struct IptablesRule {
    program: &'static str,
    rule: String,
}

impl IptablesRule {
    /// REJECT, with these further options, for what goes to TCP port `port` through `chain`.
    pub(crate) fn reject(family: Family, chain: &str, port: u16, options: &str) -> Result<Self> {
        // The modern program makes nf_tables rules that call the same function of the kernel;
        // the legacy one needs less of the kernel.
        let (legacy, modern) = match family {
            Family::V4 => ("iptables-legacy", "iptables"),
            Family::V6 => ("ip6tables-legacy", "ip6tables"),
        };
        let program = if installed(legacy) { legacy } else { modern };
        let rule = format!("{chain} -p tcp --dport {port} -j REJECT {options}");
        match iptables(program, "-A", &rule)? {
            None => Ok(Self { program, rule }),
            Some(complaint) if lacks_target(&complaint) => Err(Impossible(format!(
                "this kernel has no REJECT of {modern} (CONFIG_{}_NF_TARGET_REJECT)",
                if family == Family::V4 { "IP" } else { "IP6" }
            ))
            .into()),
            Some(complaint) => bail!(complaint),
        }
    }
}

impl Drop for IptablesRule {
    fn drop(&mut self) {
        // An error cannot be returned, and the rule ends with the namespace in any case.
        let _ = iptables(self.program, "-D", &self.rule);
    }
}

fn iptables(program: &str, act: &str, rule: &str) -> Result<Option<String>> {
    // -w: another iptables of this machine may hold the lock, which knows no namespaces.
    let args: Vec<&str> = ["-w", act].into_iter().chain(rule.split_ascii_whitespace()).collect();
    try_tool(program, &args, "")
}

/// In the words of the legacy program, then of the modern one.
fn lacks_target(complaint: &str) -> bool {
    ["Table does not exist", "No chain/target/match by that name", "missing kernel module"]
        .iter()
        .any(|words| complaint.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_reject_is_told_from_a_wrong_rule() {
        let lacking = "nft: exit status: 1: /dev/stdin:3:21-26: Error: Could not process rule: \
                       No such file or directory\n\
                       add rule bridge t c reject with tcp reset\n\
                       \x20                   ^^^^^^";
        let wrong = "nft: exit status: 1: /dev/stdin:3:21-29: Error: Could not process rule: \
                     No such file or directory\n\
                     add rule bridge t c tcp dport 5 reject\n\
                     \x20                   ^^^^^^^^^";
        assert!(lacks_reject(lacking));
        assert!(!lacks_reject(wrong));
    }
}
