//! `in_cidr(addr, '10.0.0.0/8')`.

use std::net::IpAddr;

use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};

use super::function::{Function, a_text};
use super::text;

pub(super) fn function() -> Function {
    Function::new(
        "in_cidr",
        vec![a_text(), a_text()],
        DataType::Boolean,
        |args| text::test(&args.args[0], &args.args[1], Cidr::parse, Cidr::holds),
        "in_cidr(addr, '10.0.0.0/8')",
        "Whether an address lies in a network, IPv4 or IPv6; an IPv4-mapped IPv6 address \
         (::ffff:10.0.0.1) counts as IPv4. Null for a text that is not an address.",
    )
}

#[derive(Clone, Copy, Debug)]
struct Cidr {
    is_ipv4: bool,
    bits: u128,
    length: u32,
}

/// An address as the upper bits of a number, and its length in bits.
fn bits(address: IpAddr) -> (bool, u128, u32) {
    match address.to_canonical() {
        IpAddr::V4(address) => (true, u128::from(u32::from(address)) << 96, 32),
        IpAddr::V6(address) => (false, u128::from(address), 128),
    }
}

/// The first `length` bits.
fn prefix(bits: u128, length: u32) -> u128 {
    bits & u128::MAX.checked_shl(128 - length).unwrap_or(0)
}

impl Cidr {
    fn parse(text: &str) -> Result<Self> {
        let parsed = || {
            let (address, length) = match text.trim().split_once('/') {
                Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
                None => (text.trim(), None),
            };
            let address: IpAddr = address.parse().ok()?;
            let (is_ipv4, bits, most) = bits(address);
            // A network of mapped addresses is written with the length of IPv6.
            let carried = if is_ipv4 && address.is_ipv6() { 96 } else { 0 };
            let length = length.map_or(Some(most), |length| length.checked_sub(carried))?;
            (length <= most).then(|| Self { is_ipv4, bits: prefix(bits, length), length })
        };
        match parsed() {
            Some(network) => Ok(network),
            None => exec_err!(
                "in_cidr: invalid network '{}': write it like '10.0.0.0/8' or '2001:db8::/32'",
                text.escape_debug()
            ),
        }
    }

    fn holds(&self, address: &str) -> Option<bool> {
        let (is_ipv4, bits, _) = bits(address.parse().ok()?);
        Some(is_ipv4 == self.is_ipv4 && prefix(bits, self.length) == self.bits)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::tests::{ask, context, over};
    use super::*;

    #[test]
    fn both_families_and_what_is_mapped() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", Some(true)),
            ("10.0.0.0/8", "11.0.0.1", Some(false)),
            ("10.1.2.3/8", "10.255.0.1", Some(true)),
            ("10.0.0.7", "10.0.0.7", Some(true)),
            ("10.0.0.7/32", "10.0.0.8", Some(false)),
            ("0.0.0.0/0", "255.255.255.255", Some(true)),
            ("0.0.0.0/0", "::1", Some(false)),
            ("::/0", "fe80::1", Some(true)),
            ("2001:db8::/32", "2001:db8:ffff::1", Some(true)),
            ("2001:db8::/32", "2001:db9::1", Some(false)),
            ("10.0.0.0/8", "::ffff:10.0.0.1", Some(true)),
            ("::ffff:10.0.0.0/104", "10.9.9.9", Some(true)),
            ("10.0.0.0/8", "web-1", None),
            ("10.0.0.0/8", "", None),
        ] {
            let network = Cidr::parse(network).unwrap();
            assert_eq!(network.holds(address), expected, "{network:?} {address}");
        }
    }

    #[tokio::test]
    async fn every_encoding_and_null() {
        let values = [Some("10.0.0.1"), None, Some("192.168.0.1"), Some("10.0.0.1"), Some("x")];
        let answer = over(&values, "in_cidr(t, '10.0.0.0/8')").await.unwrap();
        assert_eq!(answer, "true,-,false,true,-");
        assert_eq!(over(&values[..1], "in_cidr(t, null)").await.unwrap(), "-");
        assert_eq!(over(&values[..1], "in_cidr(t, t || '/32')").await.unwrap(), "true");
    }

    #[tokio::test]
    async fn a_bad_network_is_an_error() {
        let context = context(&[Some("10.0.0.1")]);
        for bad in ["10.0.0.0/33", "10.0.0/8", "::/129", "web", "", "10.0.0.0/-1", "10.0.0.0/"] {
            let sql = format!("select in_cidr(t, '{bad}') from plain");
            let error = ask(&context, &sql).await.unwrap_err().to_string();
            assert!(error.contains("invalid network"), "{bad}: {error}");
        }
    }
}
