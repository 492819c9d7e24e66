//! Reads the running kernel's BTF: offsets, argument positions, names of enumerators.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use btf_rs::{Backend, Btf, BtfType, Type};
use nix::sys::memfd::{MFdFlags, memfd_create};
use tcprst_schema::implied::Implied;
use tcprst_schema::layout::{KernelLayout, MAX_FILTERS, MEMBERS, Offsets};

use crate::error::{Error, Result};
use crate::kernel::sizes::TableSizes;

/// Entries of the map `IMPLIED`; the kernel has some 30 reasons.
const IMPLIED_REASONS: u32 = 64;

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
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Frames of a stack, including glue frames.
    pub(crate) stack_depth: u32,
    /// Resets a second and CPU whose stacks are walked whole.
    pub(crate) full_stacks: u32,
    /// Resets without a socket a second and CPU that are written one by one; 0 for all.
    pub(crate) storm_rate: u32,
    /// Remember the owners of sockets, in tables of these sizes.
    pub(crate) socket_owner: bool,
    pub(crate) sizes: TableSizes,
    /// Inode of the host's network namespace; 0 if unknown.
    pub(crate) host_netns: u32,
    /// Only these network namespaces (inodes) and ports, [`MAX_FILTERS`] of each; none is all.
    pub(crate) only_netns: Vec<u32>,
    pub(crate) only_ports: Vec<u16>,
}

impl Settings {
    /// Stacks of that depth, and nothing else.
    pub(crate) fn plain(stack_depth: u32) -> Self {
        Self {
            stack_depth,
            full_stacks: 0,
            storm_rate: 0,
            socket_owner: false,
            sizes: TableSizes::new(None),
            host_netns: 0,
            only_netns: Vec::new(),
            only_ports: Vec::new(),
        }
    }
}

/// Names of the running kernel's enumerators.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// `enum sk_rst_reason`, without `SK_RST_REASON_`; empty before 6.10.
    pub(crate) reasons: BTreeMap<i32, String>,
    /// TCP states, without `TCP_`.
    pub(crate) states: BTreeMap<i32, String>,
}

impl Names {
    /// By the number of a reason below 64 what it implies of its caller, for the kernel half.
    pub(crate) fn implied(&self) -> impl Iterator<Item = (u32, &'static Implied)> + '_ {
        self.reasons.iter().filter_map(|(number, name)| {
            let number = u32::try_from(*number).ok().filter(|number| *number < IMPLIED_REASONS)?;
            Some((number, Implied::of_reason(name)?))
        })
    }
}

impl Kernel {
    /// Reads the BTF of the running kernel, or of another file in that format.
    ///
    /// Through a copy in memory: mapped, a type is decoded when it is asked for, while all of them
    /// decoded take 40 MB. The kernel's own file cannot be mapped before 6.16.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let no_btf = |source: io::Error| match source.kind() {
            io::ErrorKind::PermissionDenied => Error::NotPermitted,
            _ => Error::NoBtf { path: path.to_owned(), source },
        };
        let mut source = File::open(path).map_err(no_btf)?;
        let mut copy = memfd_create(c"tcprst-btf", MFdFlags::MFD_CLOEXEC)
            .map(File::from)
            .map_err(|error| Error::System("make a file in memory", error.into()))?;
        // Read and not spliced: files of sysfs have no pages to share.
        io::copy(&mut (&mut source as &mut dyn io::Read), &mut copy).map_err(no_btf)?;
        let mapped = format!("/proc/self/fd/{}", copy.as_raw_fd());
        let btf = Btf::from_file_with_backend(mapped, Backend::Mmap)
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

    /// Whether BPF programs have this helper.
    fn has_helper(&self, name: &str) -> bool {
        self.btf
            .resolve_types_by_name("bpf_func_id")
            .unwrap_or_default()
            .iter()
            .any(|found| self.enumerators(found, "").values().any(|helper| helper == name))
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
            .resolve_ids_by_name("")
            .unwrap_or_default()
            .into_iter()
            // One by one: half of all types have no name.
            .filter_map(|id| self.btf.resolve_type_by_id(id).ok())
            .map(|found| self.enumerators(&found, "TCP_"))
            .find(|names| names.values().any(|name| name == "NEW_SYN_RECV"))
            .unwrap_or_default();
        Names { reasons, states }
    }

    /// The kernel half's global `LAYOUT`.
    pub(crate) fn layout(&self, settings: &Settings) -> Result<KernelLayout> {
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
        // Random for each process: who sends packets must not know which flows share a bucket.
        let seed = RandomState::new().hash_one(0);
        Ok(KernelLayout {
            offsets,
            tracepoint_reason: u32::from(self.tracepoint_arguments("tcp_send_reset") == Some(3)),
            active_reason_arg: self.parameter_position("tcp_send_active_reset", "reason"),
            passive_reason_arg: self.parameter_position("tcp_v4_send_reset", "reason"),
            task_btf: self.has_helper("BPF_FUNC_get_current_task_btf").into(),
            stack_bytes: settings.stack_depth * 8,
            full_stacks: settings.full_stacks,
            storm_rate: settings.storm_rate,
            socket_owner: settings.socket_owner.into(),
            socket_shift: settings.sizes.socket_shift(),
            flow_shift: settings.sizes.flow_shift(),
            seed_high: (seed >> 32) as u32,
            seed_low: seed as u32,
            // Before 5.12 (e21aa341785c) an fexit program may be freed while a task still sleeps in
            // the function: use a kretprobe there.
            accept_return: self
                .structure("bpf_tramp_image")
                .and_then(|_| self.parameters("inet_csk_accept"))
                .map_or(0, |parameters| parameters.len() as u32),
            host_netns: settings.host_netns,
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
        kernel.layout(&Settings::plain(24)).expect("a whole layout");
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
