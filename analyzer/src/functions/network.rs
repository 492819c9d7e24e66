//! `network(addr, 24, 64)`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arrow::array::StringViewArray;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use super::function::{Function, a_text, an_int};
use super::text;

pub(super) fn function() -> Function {
    Function::new(
        "network",
        vec![a_text(), an_int(), an_int()],
        DataType::Utf8View,
        run,
        "network(addr, 24, 64)",
        "The network of an address, such as `10.1.2.0/24`, by the prefix length for IPv4 and the \
         one for IPv6. Null for a text that is not an address.",
    )
}

fn run(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let (Some(v4), Some(v6)) = (length(&args.args[1], 32)?, length(&args.args[2], 128)?) else {
        return Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(None)));
    };
    text::each(&args.args[0], &|addresses| {
        let of = |address: &str| network(address, v4, v6);
        let networks: StringViewArray = addresses.iter().map(|text| text.and_then(of)).collect();
        Ok(Arc::new(networks))
    })
}

fn length(argument: &ColumnarValue, most: u32) -> Result<Option<u32>> {
    let ColumnarValue::Scalar(ScalarValue::Int64(given)) = argument else {
        return exec_err!("network: the prefix lengths must be constants");
    };
    match given.map(u32::try_from) {
        None => Ok(None),
        Some(Ok(length)) if length <= most => Ok(Some(length)),
        Some(_) => exec_err!("network: a prefix length must be from 0 to {most}"),
    }
}

fn network(address: &str, v4: u32, v6: u32) -> Option<String> {
    Some(match address.parse::<IpAddr>().ok()?.to_canonical() {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - v4).unwrap_or(0);
            format!("{}/{v4}", Ipv4Addr::from(u32::from(address) & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - v6).unwrap_or(0);
            format!("{}/{v6}", Ipv6Addr::from(u128::from(address) & mask))
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::tests::over;

    #[tokio::test]
    async fn networks_of_both_families() {
        let values =
            [Some("10.1.2.3"), Some("2001:db8::1"), Some("::ffff:10.1.2.3"), None, Some("x")];
        let answer = over(&values, "network(t, 24, 64)").await.unwrap();
        assert_eq!(answer, "10.1.2.0/24,2001:db8::/64,10.1.2.0/24,-,-");
        let whole = over(&values[..2], "network(t, 32, 128)").await.unwrap();
        assert_eq!(whole, "10.1.2.3/32,2001:db8::1/128");
        assert_eq!(over(&values[..2], "network(t, 0, 0)").await.unwrap(), "0.0.0.0/0,::/0");
        for bad in ["network(t, 33, 64)", "network(t, 24, -1)", "network(t, length(t), 64)"] {
            assert!(over(&values, bad).await.is_err(), "{bad}");
        }
    }
}
