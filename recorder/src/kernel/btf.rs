//! Reads the running kernel's BTF: offsets, argument positions, names of enumerators.

use std::collections::BTreeMap;
use std::path::Path;

use btf_rs::{Btf, BtfType, Type};
use tcprst_schema::layout::{KernelLayout, MAX_FILTERS, MEMBERS, NO_SUCH_REASON, Offsets};

use crate::error::{Error, Result};

/// The types of the running kernel.
pub(crate) struct Kernel {
    btf: Btf,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").finish_non_exhaustive()
    }
}

/// Settings for the kernel half that do not depend on the kernel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// Frames of a stack, including glue frames.
    pub(crate) stack_depth: u32,
    /// Wake the reader when this many bytes wait in a ring.
    pub(crate) wake_bytes: u32,
    /// Remember the owners of sockets.
    pub(crate) socket_owner: bool,
    /// Inode of the host's network namespace; 0 if unknown.
    pub(crate) host_netns: u32,
    /// Resets without a socket that become an event, a second and CPU; the others are counted. 0
    /// counts none.
    pub(crate) storm_rate: u32,
    /// Only these network namespaces (inodes) and ports, [`MAX_FILTERS`] of each; none is all.
    pub(crate) only_netns: Vec<u32>,
    pub(crate) only_ports: Vec<u16>,
}

/// Names of the running kernel's enumerators.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// `enum sk_rst_reason`, without `SK_RST_REASON_`; empty before 6.10.
    pub(crate) reasons: BTreeMap<i32, String>,
    /// TCP states, without `TCP_`.
    pub(crate) states: BTreeMap<i32, String>,
}

impl Kernel {
    /// Reads the BTF of the running kernel, or of another file in that format.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::PermissionDenied => Error::NotPermitted,
            _ => Error::NoBtf { path: path.to_owned(), source },
        })?;
        let btf = Btf::from_bytes(&bytes)
            .map_err(|source| Error::InvalidBtf { path: path.to_owned(), source })?;
        Ok(Self { btf })
    }

    fn structure(&self, name: &str) -> Option<Type> {
        self.btf
            .resolve_types_by_name(name)
            .ok()?
            .into_iter()
            .find(|found| matches!(found, Type::Struct(_) | Type::Union(_)))
    }

    /// The type behind typedefs and qualifiers.
    fn peel(&self, mut found: Type) -> Option<Type> {
        loop {
            found = match &found {
                Type::Typedef(t) => self.btf.resolve_chained_type(t).ok()?,
                Type::Const(t) | Type::Volatile(t) | Type::Restrict(t) => {
                    self.btf.resolve_chained_type(t).ok()?
                }
                Type::TypeTag(t) => self.btf.resolve_chained_type(t).ok()?,
                _ => return Some(found),
            };
        }
    }

    /// Bit offset and type of a member, which may be in an anonymous structure or union.
    fn member(&self, outer: &Type, name: &str) -> Option<(u32, Type)> {
        let (Type::Struct(outer) | Type::Union(outer)) = outer else {
            return None;
        };
        for member in &outer.members {
            let member_type = || self.peel(self.btf.resolve_chained_type(member).ok()?);
            let member_name = self.btf.resolve_name(member).unwrap_or_default();
            if member_name == name {
                return Some((member.bit_offset(), member_type()?));
            }
            if member_name.is_empty()
                && let Some(inner) = member_type()
                && let Some((offset, found)) = self.member(&inner, name)
            {
                return Some((member.bit_offset() + offset, found));
            }
        }
        None
    }

    /// Byte offset of `structure.path`.
    pub(crate) fn offset(&self, structure: &str, path: &str) -> Option<u32> {
        let mut at = self.structure(structure)?;
        let mut bits = 0;
        for name in path.split('.') {
            let (offset, found) = self.member(&at, name)?;
            bits += offset;
            at = found;
        }
        Some(bits / 8)
    }

    /// Names of the parameters of a kernel function.
    fn parameters(&self, function: &str) -> Option<Vec<String>> {
        let found = self.btf.resolve_types_by_name(function).ok()?;
        let function = found.into_iter().find_map(|found| match found {
            Type::Func(function) => Some(function),
            _ => None,
        })?;
        let Type::FuncProto(prototype) = self.btf.resolve_chained_type(&function).ok()? else {
            return None;
        };
        Some(
            prototype
                .parameters
                .iter()
                .map(|parameter| self.btf.resolve_name(parameter).unwrap_or_default())
                .collect(),
        )
    }

    fn parameter_position(&self, function: &str, parameter: &str) -> u32 {
        self.parameters(function)
            .and_then(|names| names.iter().position(|name| name == parameter))
            .map_or(0, |position| position as u32)
    }

    /// Number of arguments that a raw tracepoint passes to a program; `None` if there is no such
    /// tracepoint.
    fn tracepoint_arguments(&self, tracepoint: &str) -> Option<usize> {
        let name = format!("btf_trace_{tracepoint}");
        let found = self.btf.resolve_types_by_name(&name).ok()?;
        let typedef = found.into_iter().find(|found| matches!(found, Type::Typedef(_)))?;
        let Type::Ptr(pointer) = self.peel(typedef)? else {
            return None;
        };
        match self.btf.resolve_chained_type(&pointer).ok()? {
            // Skip the tracepoint's own `void *__data`, which comes first.
            Type::FuncProto(prototype) => prototype.parameters.len().checked_sub(1),
            _ => None,
        }
    }

    fn enumerators(&self, found: &Type, prefix: &str) -> BTreeMap<i32, String> {
        let Type::Enum(found) = found else {
            return BTreeMap::new();
        };
        found
            .members
            .iter()
            .filter_map(|member| {
                let name = self.btf.resolve_name(member as &dyn BtfType).ok()?;
                Some((member.val().cast_signed(), name.strip_prefix(prefix)?.to_owned()))
            })
            .collect()
    }

    /// Names of the reset reasons and of the socket states.
    pub(crate) fn names(&self) -> Names {
        let reasons = self
            .btf
            .resolve_types_by_name("sk_rst_reason")
            .unwrap_or_default()
            .iter()
            .map(|found| self.enumerators(found, "SK_RST_REASON_"))
            .find(|names| !names.is_empty())
            .unwrap_or_default();
        // The states are an enumeration without a name.
        let states = self
            .btf
            .resolve_types_by_name("")
            .unwrap_or_default()
            .iter()
            .map(|found| self.enumerators(found, "TCP_"))
            .find(|names| names.values().any(|name| name == "NEW_SYN_RECV"))
            .unwrap_or_default();
        Names { reasons, states }
    }

    /// The kernel half's global `LAYOUT`.
    pub(crate) fn layout(&self, names: &Names, settings: &Settings) -> Result<KernelLayout> {
        let mut offsets = Offsets::NONE;
        for (index, member) in MEMBERS.iter().enumerate() {
            match self.offset(member.structure, member.path) {
                Some(offset) => offsets.set(index, offset),
                None if member.required => {
                    return Err(Error::NoMember { structure: member.structure, path: member.path });
                }
                None => {}
            }
        }
        let no_socket = names.reasons.iter().find(|(_, name)| *name == "NO_SOCKET");
        Ok(KernelLayout {
            offsets,
            tracepoint_reason: u32::from(self.tracepoint_arguments("tcp_send_reset") == Some(3)),
            active_reason_arg: self.parameter_position("tcp_send_active_reset", "reason"),
            passive_reason_arg: self.parameter_position("tcp_v4_send_reset", "reason"),
            no_socket_reason: no_socket
                .map_or(NO_SUCH_REASON, |(number, _)| number.cast_unsigned()),
            stack_bytes: settings.stack_depth * 8,
            wake_bytes: settings.wake_bytes,
            socket_owner: settings.socket_owner.into(),
            // Before 5.12 (e21aa341785c) an fexit program may be freed while a task still sleeps in
            // the function: use a kretprobe there.
            accept_return: self
                .structure("bpf_tramp_image")
                .and_then(|_| self.parameters("inet_csk_accept"))
                .map_or(0, |parameters| parameters.len() as u32),
            host_netns: settings.host_netns,
            storm_rate: settings.storm_rate,
            only_netns: filters(settings.only_netns.iter().copied()),
            only_ports: filters(settings.only_ports.iter().map(|port| u32::from(*port))),
        })
    }
}

fn filters(values: impl Iterator<Item = u32>) -> [u32; MAX_FILTERS] {
    let mut filters = [0; MAX_FILTERS];
    for (filter, value) in filters.iter_mut().zip(values) {
        *filter = value;
    }
    filters
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::proc::BTF;

    fn running() -> Kernel {
        Kernel::read(Path::new(BTF)).expect("the running kernel has BTF")
    }

    #[test]
    fn the_running_kernel_has_every_required_member() {
        let kernel = running();
        let names = kernel.names();
        kernel
            .layout(&names, &Settings { stack_depth: 24, ..Settings::default() })
            .expect("a whole layout");
        assert_eq!(
            kernel.offset("sock", "__sk_common.skc_family"),
            kernel.offset("sock_common", "skc_family")
        );
        assert_eq!(names.states.get(&1).map(String::as_str), Some("ESTABLISHED"));
        assert_eq!(names.states.get(&12).map(String::as_str), Some("NEW_SYN_RECV"));
        if kernel.tracepoint_arguments("tcp_send_reset") == Some(3) {
            assert!(names.reasons.values().any(|name| name == "NO_SOCKET"));
        }
    }

    #[test]
    fn what_is_not_there_is_none() {
        let kernel = running();
        assert_eq!(kernel.offset("sock", "no_such_member"), None);
        assert_eq!(kernel.offset("no_such_structure", "x"), None);
        assert_eq!(kernel.tracepoint_arguments("no_such_tracepoint"), None);
        assert!(matches!(Kernel::read(Path::new("/nonexistent/btf")), Err(Error::NoBtf { .. })));
    }
}
