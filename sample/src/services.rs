//! The services on the hosts of a sample, most resets first.

/// Who connects to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clients {
    /// The world: many addresses, few of which are frequent.
    World,
    /// Pods of the cluster.
    Cluster,
}

/// One service.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) namespace: &'static str,
    pub(crate) image: &'static str,
    pub(crate) comm: &'static str,
    pub(crate) port: u16,
    pub(crate) clients: Clients,
    /// The port that it connects to itself.
    pub(crate) upstream: u16,
    pub(crate) replicas: usize,
}

#[rustfmt::skip]
pub(crate) const SERVICES: &[Service] = &[
    service("ingress-nginx", "ingress", "registry.k8s.io/ingress-nginx/controller:v1.14.0", "nginx", 443, Clients::World, 8080, 4),
    service("api-gateway", "edge", "docker.io/envoyproxy/envoy:v1.36.2", "envoy", 8443, Clients::World, 8080, 3),
    service("checkout", "shop", "registry.example.com/shop/checkout:2026.10.3", "java", 8080, Clients::Cluster, 5432, 4),
    service("frontend", "shop", "registry.example.com/shop/frontend:418", "node", 3000, Clients::World, 8080, 4),
    service("postgres", "data", "docker.io/library/postgres:18.1", "postgres", 5432, Clients::Cluster, 5432, 2),
    service("cart", "shop", "registry.example.com/shop/cart:1.92.0", "cart", 7070, Clients::Cluster, 6379, 3),
    service("redis", "data", "docker.io/library/redis:8.2", "redis-server", 6379, Clients::Cluster, 6379, 2),
    service("payments", "shop", "registry.example.com/shop/payments:77", "gunicorn", 8081, Clients::Cluster, 443, 2),
    service("kafka", "data", "docker.io/apache/kafka:4.1.1", "java", 9092, Clients::Cluster, 9092, 3),
    service("search", "data", "docker.io/opensearchproject/opensearch:3.3.2", "java", 9200, Clients::Cluster, 9200, 2),
    service("auth", "edge", "quay.io/keycloak/keycloak:26.4", "java", 8444, Clients::Cluster, 5432, 2),
    service("prometheus", "monitoring", "quay.io/prometheus/prometheus:v3.7.3", "prometheus", 9090, Clients::Cluster, 9100, 1),
    service("recommender", "shop", "registry.example.com/ml/recommender:0.31", "python3", 8082, Clients::Cluster, 6379, 2),
    service("rabbitmq", "data", "docker.io/library/rabbitmq:4.2", "beam.smp", 5672, Clients::Cluster, 5672, 1),
    service("memcached", "data", "docker.io/library/memcached:1.6.39", "memcached", 11211, Clients::Cluster, 11211, 1),
    service("mail-relay", "infra", "registry.example.com/infra/postfix:3.10", "smtpd", 25, Clients::World, 25, 1),
    service("grafana", "monitoring", "docker.io/grafana/grafana:12.2.1", "grafana", 3001, Clients::Cluster, 9090, 1),
    service("coredns", "kube-system", "registry.k8s.io/coredns/coredns:v1.13.1", "coredns", 53, Clients::Cluster, 53, 2),
];

#[expect(clippy::too_many_arguments, reason = "a row of the table above")]
const fn service(
    name: &'static str,
    namespace: &'static str,
    image: &'static str,
    comm: &'static str,
    port: u16,
    clients: Clients,
    upstream: u16,
    replicas: usize,
) -> Service {
    Service { name, namespace, image, comm, port, clients, upstream, replicas }
}

/// Programs of the host itself, outside of containers.
#[rustfmt::skip]
pub(crate) const HOST_SERVICES: &[Service] = &[
    service("kubelet", "", "", "kubelet", 10250, Clients::Cluster, 6443, 1),
    service("sshd", "", "", "sshd", 22, Clients::World, 22, 1),
    service("node-exporter", "", "", "node_exporter", 9100, Clients::Cluster, 9100, 1),
];
