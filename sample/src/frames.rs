//! Names of the kernel: the frames below those of a kind, and the reset reasons.

/// How a stack continues below the frames of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Below {
    /// A received segment; with NO_SOCKET the stack is shorter.
    Packet,
    PacketShort,
    Timer,
    /// close() in a system call.
    Close,
    Exit,
    Syscall,
}

impl Below {
    /// What made the kernel act: the context that the recorder would find.
    pub(crate) fn context(self) -> &'static str {
        match self {
            Below::Packet | Below::PacketShort => "packet",
            Below::Timer => "timer",
            Below::Close | Below::Exit | Below::Syscall => "task",
        }
    }

    /// The frames, callee first. Segments arrive from a network card, from a container of the same
    /// host, or through the softirq thread.
    #[rustfmt::skip]
    pub(crate) fn frames(self, way: usize) -> &'static [&'static str] {
        const DELIVER: [&[&str]; 3] = [
            &[
                "ip_protocol_deliver_rcu", "ip_local_deliver_finish", "ip_local_deliver", "ip_rcv",
                "__netif_receive_skb_one_core", "process_backlog", "__napi_poll", "net_rx_action",
                "handle_softirqs", "do_softirq", "__local_bh_enable_ip", "__dev_queue_xmit",
                "ip_finish_output2", "__ip_queue_xmit", "__tcp_transmit_skb", "tcp_write_xmit",
                "tcp_sendmsg", "__x64_sys_sendto", "do_syscall_64",
                "entry_SYSCALL_64_after_hwframe",
            ],
            &[
                "ip_protocol_deliver_rcu", "ip_local_deliver_finish", "ip_local_deliver",
                "ip_sublist_rcv_finish", "ip_list_rcv", "__netif_receive_skb_list_core",
                "netif_receive_skb_list_internal", "napi_complete_done", "virtnet_poll",
                "__napi_poll", "net_rx_action", "handle_softirqs", "__irq_exit_rcu",
                "common_interrupt", "asm_common_interrupt", "pv_native_safe_halt", "default_idle",
                "do_idle", "cpu_startup_entry", "start_secondary",
            ],
            &[
                "ip_protocol_deliver_rcu", "ip_local_deliver_finish", "ip_local_deliver", "ip_rcv",
                "__netif_receive_skb_one_core", "process_backlog", "__napi_poll", "net_rx_action",
                "handle_softirqs", "run_ksoftirqd", "smpboot_thread_fn", "kthread",
                "ret_from_fork", "ret_from_fork_asm",
            ],
        ];
        match self {
            Below::Packet => DELIVER[way % DELIVER.len()],
            Below::PacketShort => &DELIVER[way % DELIVER.len()][..3],
            Below::Timer => &[
                "call_timer_fn", "__run_timers", "run_timer_softirq", "handle_softirqs",
                "__irq_exit_rcu", "sysvec_apic_timer_interrupt", "asm_sysvec_apic_timer_interrupt",
                "default_idle", "do_idle", "cpu_startup_entry",
            ],
            Below::Close => &[
                "inet_release", "__sock_release", "sock_close", "__fput", "__x64_sys_close",
                "do_syscall_64", "entry_SYSCALL_64_after_hwframe",
            ],
            Below::Exit => &[
                "inet_release", "__sock_release", "sock_close", "__fput", "task_work_run",
                "do_exit", "do_group_exit", "get_signal", "arch_do_signal_or_restart",
                "exit_to_user_mode_loop", "do_syscall_64", "entry_SYSCALL_64_after_hwframe",
            ],
            Below::Syscall => &["do_syscall_64", "entry_SYSCALL_64_after_hwframe"],
        }
    }
}

/// The name of an IPv4 function, or of its IPv6 counterpart.
pub(crate) fn on_wire(frame: &'static str, is_v6: bool) -> &'static str {
    match ON_IPV6.iter().find(|(v4, _)| *v4 == frame) {
        Some((_, v6)) if is_v6 => v6,
        _ => frame,
    }
}

/// IPv4 functions and their IPv6 counterparts.
#[rustfmt::skip]
const ON_IPV6: &[(&str, &str)] = &[
    ("tcp_v4_send_reset", "tcp_v6_send_reset"),
    ("tcp_v4_do_rcv", "tcp_v6_do_rcv"),
    ("tcp_v4_rcv", "tcp_v6_rcv"),
    ("ip_protocol_deliver_rcu", "ip6_protocol_deliver_rcu"),
    ("ip_local_deliver_finish", "ip6_input_finish"),
    ("ip_local_deliver", "ip6_input"),
    ("ip_sublist_rcv_finish", "ip6_sublist_rcv_finish"),
    ("ip_list_rcv", "ipv6_list_rcv"),
    ("ip_rcv", "ipv6_rcv"),
    ("ip_finish_output2", "ip6_finish_output2"),
    ("__ip_queue_xmit", "ip6_xmit"),
    ("inet_release", "inet6_release"),
    ("nf_send_reset", "nf_send_reset6"),
    ("nft_reject_ipv4_eval", "nft_reject_ipv6_eval"),
];

/// `enum sk_rst_reason` of Linux 6.18, in its order.
pub(crate) const REASONS: &[&str] = &[
    "NOT_SPECIFIED",
    "NO_SOCKET",
    "TCP_INVALID_ACK_SEQUENCE",
    "TCP_RFC7323_PAWS",
    "TCP_TOO_OLD_ACK",
    "TCP_ACK_UNSENT_DATA",
    "TCP_FLAGS",
    "TCP_OLD_ACK",
    "TCP_ABORT_ON_DATA",
    "TCP_TIMEWAIT_SOCKET",
    "INVALID_SYN",
    "TCP_ABORT_ON_CLOSE",
    "TCP_ABORT_ON_LINGER",
    "TCP_ABORT_ON_MEMORY",
    "TCP_STATE",
    "TCP_KEEPALIVE_TIMEOUT",
    "TCP_DISCONNECT_WITH_DATA",
];
