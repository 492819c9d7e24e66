//! `port_name(port)`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use super::function::{Function, an_int};

/// Common services by their usual TCP port, in ascending order.
#[rustfmt::skip]
const PORTS: &[(i64, &str)] = &[
    (20, "ftp-data"), (21, "ftp"), (22, "ssh"), (23, "telnet"), (25, "smtp"), (53, "dns"),
    (80, "http"), (88, "kerberos"), (110, "pop3"), (111, "rpcbind"), (143, "imap"),
    (179, "bgp"), (389, "ldap"), (443, "https"), (445, "smb"), (465, "smtps"), (514, "syslog"),
    (587, "submission"), (636, "ldaps"), (853, "dns-over-tls"), (873, "rsync"), (993, "imaps"),
    (995, "pop3s"), (1433, "mssql"), (1521, "oracle"), (1883, "mqtt"), (2049, "nfs"),
    (2181, "zookeeper"), (2375, "docker"), (2376, "docker-tls"), (2379, "etcd"),
    (2380, "etcd-peer"), (3000, "grafana"), (3260, "iscsi"), (3306, "mysql"), (3389, "rdp"),
    (4222, "nats"), (4317, "otlp-grpc"), (4318, "otlp-http"), (5000, "registry"),
    (5044, "logstash"), (5060, "sip"), (5432, "postgresql"), (5601, "kibana"), (5672, "amqp"),
    (5900, "vnc"), (5984, "couchdb"), (6379, "redis"), (6432, "pgbouncer"),
    (6443, "kubernetes-api"), (7000, "cassandra-peer"), (8080, "http-alt"), (8086, "influxdb"),
    (8125, "statsd"), (8200, "vault"), (8300, "consul-rpc"), (8443, "https-alt"),
    (8500, "consul"), (8883, "mqtts"), (9000, "minio"), (9042, "cassandra"), (9090, "prometheus"),
    (9092, "kafka"), (9093, "alertmanager"), (9100, "node-exporter"), (9200, "elasticsearch"),
    (9300, "elasticsearch-peer"), (9418, "git"), (10250, "kubelet"), (11211, "memcached"),
    (15672, "rabbitmq-management"), (26257, "cockroachdb"), (27017, "mongodb"),
];

pub(super) fn function() -> Function {
    Function::new(
        "port_name",
        vec![an_int()],
        DataType::Utf8View,
        run,
        "port_name(port)",
        "The service that usually has this TCP port; null if none is known.",
    )
}

fn name(port: i64) -> Option<&'static str> {
    let at = PORTS.binary_search_by_key(&port, |(port, _)| *port).ok()?;
    Some(PORTS[at].1)
}

fn run(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let names = |ports: &ArrayRef| -> Result<ArrayRef> {
        let ports = cast(ports, &DataType::Int64)?;
        let ports = ports.as_primitive::<Int64Type>();
        let names: StringViewArray = ports.iter().map(|port| port.and_then(name)).collect();
        Ok(Arc::new(names))
    };
    Ok(match &args.args[0] {
        ColumnarValue::Array(ports) => ColumnarValue::Array(names(ports)?),
        ColumnarValue::Scalar(port) => {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&names(&port.to_array()?)?, 0)?)
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::tests::{ask, context};
    use super::*;

    #[test]
    fn ports_rise_so_that_they_can_be_searched() {
        assert!(PORTS.is_sorted_by(|(before, _), (after, _)| before < after));
    }

    #[tokio::test]
    async fn known_ports_have_names() {
        let context = context(&[]);
        let sql = "select port_name(column1) from (values (22), (5432), (null), (1), (-1))";
        assert_eq!(ask(&context, sql).await.unwrap(), "ssh,postgresql,-,-,-");
        let sql = "select port_name(cast(443 as int))";
        assert_eq!(ask(&context, sql).await.unwrap(), "https");
    }
}
