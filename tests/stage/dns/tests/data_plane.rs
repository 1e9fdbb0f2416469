//! The whole data plane: a control plane that speaks Route 53's XML, real probes of real endpoints, and questions over UDP by a real client.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, RwLock},
    time::{Duration, Instant},
};

use stage_dns::{Dns, Error, ResolveError, Resolver, Settings, Status};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    sync::watch,
    task::JoinHandle,
};

/// 30 s between probes become 0.1 s, time-outs their least, TTLs a second.
const FACTOR: f64 = 300.0;

/// What an HTTP server of the test answers: status and body, or nothing at all.
type Answer = Option<(u16, String)>;

struct Http {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Http {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn http(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Http {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 8192];
                let length = stream.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let Some((status, body)) = answer(&request) else {
                    std::future::pending::<()>().await;
                    return;
                };
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            });
        }
    });
    Http { addr, task }
}

/// The lists of Route 53, or nothing once it is dark.
#[derive(Default)]
struct Route53 {
    checks: String,
    records: String,
    dark: bool,
}

async fn control_plane(state: Arc<RwLock<Route53>>) -> Http {
    http(move |request| {
        let state = state.read().unwrap();
        assert!(request.contains("/us-east-1/route53/aws4_request"), "unsigned: {request}");
        let xmlns = r#"xmlns="https://route53.amazonaws.com/doc/2013-04-01/""#;
        let body = if state.dark {
            return Some((503, "<html>dark</html>".to_owned()));
        } else if request.starts_with("GET /2013-04-01/hostedzone?") {
            format!(
                "<ListHostedZonesResponse {xmlns}><HostedZones><HostedZone><Id>/hostedzone/Z1</Id><Name>example.com.</Name></HostedZone></HostedZones>\
                 <IsTruncated>false</IsTruncated></ListHostedZonesResponse>"
            )
        } else if request.starts_with("GET /2013-04-01/hostedzone/Z1/rrset") {
            // Two pages: the last record comes only for the name that the first page gave.
            let second = request.contains("&name=z.example.com.&type=TXT");
            let (records, rest) = if second {
                (txt("z.example.com.", "", "last"), "<IsTruncated>false</IsTruncated>".to_owned())
            } else {
                let next = "<IsTruncated>true</IsTruncated><NextRecordName>z.example.com.</NextRecordName><NextRecordType>TXT</NextRecordType>";
                (state.records.clone(), next.to_owned())
            };
            format!(
                "<ListResourceRecordSetsResponse {xmlns}><ResourceRecordSets>{records}</ResourceRecordSets>{rest}</ListResourceRecordSetsResponse>"
            )
        } else {
            format!(
                "<ListHealthChecksResponse {xmlns}><HealthChecks>{}</HealthChecks><IsTruncated>false</IsTruncated></ListHealthChecksResponse>",
                state.checks
            )
        };
        Some((200, body))
    })
    .await
}

fn txt(name: &str, routing: &str, value: &str) -> String {
    format!(
        "<ResourceRecordSet><Name>{name}</Name><Type>TXT</Type>{routing}<TTL>60</TTL><ResourceRecords><ResourceRecord><Value>\"{value}\"</Value></ResourceRecord>\
         </ResourceRecords></ResourceRecordSet>"
    )
}

fn cname(name: &str, routing: &str, target: &str) -> String {
    format!(
        "<ResourceRecordSet><Name>{name}</Name><Type>CNAME</Type>{routing}<TTL>60</TTL><ResourceRecords><ResourceRecord><Value>{target}</Value></ResourceRecord>\
         </ResourceRecords></ResourceRecordSet>"
    )
}

const PRIMARY: &str = "<SetIdentifier>p</SetIdentifier><Failover>PRIMARY</Failover><HealthCheckId>hc</HealthCheckId>";
const SECONDARY: &str = "<SetIdentifier>s</SetIdentifier><Failover>SECONDARY</Failover>";

fn check(id: &str, config: &str) -> String {
    format!(
        "<HealthCheck><Id>{id}</Id><HealthCheckConfig>{config}<RequestInterval>30</RequestInterval><FailureThreshold>2</FailureThreshold></HealthCheckConfig></HealthCheck>"
    )
}

async fn start(route53: Route53) -> (Dns, Arc<RwLock<Route53>>, Http) {
    let route53 = Arc::new(RwLock::new(route53));
    let control = control_plane(route53.clone()).await;
    let dns = Dns::start(Settings::new(format!("http://{}", control.addr), FACTOR)).await.unwrap();
    (dns, route53, control)
}

async fn eventually(dns: &Dns, check: &str, healthy: bool) {
    let deadline = Instant::now() + Duration::from_secs(8);
    while dns.health(check) != Some(healthy) {
        assert!(Instant::now() < deadline, "{check} never became healthy={healthy}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn primary_that_stops_answering_is_replaced_in_the_answers_and_comes_back() {
    let (light, dark) = watch::channel(false);
    let primary = http(move |request| {
        assert!(request.starts_with("GET /health "), "{request}");
        (!*dark.borrow()).then(|| (200, r#"{"status":"ok","region":"one"}"#.to_owned()))
    })
    .await;
    let config = r#"<Type>HTTP_STR_MATCH</Type><FullyQualifiedDomainName>lb.one.elb.amazonaws.com</FullyQualifiedDomainName><ResourcePath>/health</ResourcePath><SearchString>"status":"ok"</SearchString>"#;
    let (dns, _route53, _control) = start(Route53 {
        checks: check("hc", config),
        records: cname("api.example.com.", PRIMARY, "lb.one.elb.amazonaws.com") + &cname("api.example.com.", SECONDARY, "lb.two.elb.amazonaws.com"),
        dark: false,
    })
    .await;
    let standby: SocketAddr = "127.0.0.1:4242".parse().unwrap();
    dns.publish("lb.one.elb.amazonaws.com", primary.addr);
    dns.publish("lb.two.elb.amazonaws.com", standby);
    let ask = async || Resolver::new(dns.addr()).resolve_http("api.example.com").await.unwrap();

    eventually(&dns, "hc", true).await;
    assert_eq!(ask().await, primary.addr);
    light.send_replace(true);
    eventually(&dns, "hc", false).await;
    assert_eq!(ask().await, standby);
    light.send_replace(false);
    eventually(&dns, "hc", true).await;
    assert_eq!(ask().await, primary.addr);
    dns.shutdown().await;
}

#[tokio::test]
async fn string_that_is_missing_and_a_closed_port_are_ill_and_a_calculated_check_sees_both() {
    let wrong_body = http(|_| Some((200, "maintenance".to_owned()))).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let endpoint = |kind: &str, port: u16| format!("<Type>{kind}</Type><IPAddress>127.0.0.1</IPAddress><Port>{port}</Port>");
    let calculated = |threshold: u32| {
        format!(
            "<Type>CALCULATED</Type><HealthThreshold>{threshold}</HealthThreshold><ChildHealthChecks><ChildHealthCheck>open</ChildHealthCheck>\
             <ChildHealthCheck>closed</ChildHealthCheck></ChildHealthChecks>"
        )
    };
    let port = wrong_body.addr.port();
    let (dns, ..) = start(Route53 {
        checks: check("body", &(endpoint("HTTP_STR_MATCH", port) + "<SearchString>ok</SearchString>"))
            + &check("status", &endpoint("HTTP", port))
            + &check("open", &endpoint("TCP", port))
            + &check("closed", &endpoint("TCP", closed.port()))
            + &check("stop", &(endpoint("TCP", port) + "<Inverted>true</Inverted>"))
            + &check("one", &calculated(1))
            + &check("both", &calculated(2)),
        ..Route53::default()
    })
    .await;
    assert_eq!(dns.health("stop"), Some(false), "an inverted check is unhealthy until it has data");
    assert_eq!(dns.health("unknown"), None);
    eventually(&dns, "body", false).await;
    eventually(&dns, "closed", false).await;
    eventually(&dns, "both", false).await;
    for (id, healthy) in [("status", true), ("open", true), ("one", true), ("stop", false)] {
        assert_eq!(dns.health(id), Some(healthy), "{id}");
    }
}

#[tokio::test]
async fn last_configuration_stays_when_the_control_plane_is_dark() {
    let (dns, route53, _control) = start(Route53 { records: txt("a.example.com.", "", "first"), ..Route53::default() }).await;
    let ask = async |name: &str| Resolver::new(dns.addr()).txt(name).await;
    assert_eq!(ask("a.example.com").await.unwrap(), ["first"]);
    assert_eq!(ask("z.example.com").await.unwrap(), ["last"], "the second page is read too");

    route53.write().unwrap().records = txt("a.example.com.", "", "second");
    dns.refresh().await.unwrap();
    assert_eq!(ask("a.example.com").await.unwrap(), ["second"]);

    route53.write().unwrap().dark = true;
    assert!(matches!(dns.refresh().await, Err(Error::Refused { status: 503, .. })));
    assert_eq!(ask("a.example.com").await.unwrap(), ["second"]);
}

#[tokio::test]
async fn resolver_keeps_an_answer_for_its_ttl_and_no_longer() {
    let (dns, route53, _control) = start(Route53 { records: txt("a.example.com.", "", "old"), ..Route53::default() }).await;
    let resolver = Resolver::new(dns.addr());
    assert_eq!(resolver.txt("a.example.com").await.unwrap(), ["old"]);
    route53.write().unwrap().records = txt("a.example.com.", "", "new");
    dns.refresh().await.unwrap();
    assert_eq!(resolver.txt("a.example.com").await.unwrap(), ["old"], "60 s over 300 is the least TTL, one second");
    tokio::time::sleep(Duration::from_millis(1050)).await;
    assert_eq!(resolver.txt("a.example.com").await.unwrap(), ["new"]);
}

#[tokio::test]
async fn names_that_are_missing_say_so() {
    let (dns, ..) = start(Route53 { records: txt("a.example.com.", "", "x"), ..Route53::default() }).await;
    let resolver = Resolver::new(dns.addr());
    assert!(matches!(resolver.txt("b.example.com").await, Err(ResolveError::NoSuchName { .. })));
    assert!(matches!(resolver.resolve_http("a.example.com").await, Err(ResolveError::NoData { .. })));
    let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let deaf = Resolver::new(nobody.local_addr().unwrap());
    assert!(matches!(deaf.txt("a.example.com").await, Err(ResolveError::NoAnswer { .. })));
}

#[tokio::test]
async fn status_is_told_once_a_period_with_the_share_of_healthy_checkers() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let config = format!("<Type>TCP</Type><IPAddress>127.0.0.1</IPAddress><Port>{}</Port>", closed.port());
    let route53 = Arc::new(RwLock::new(Route53 { checks: check("hc", &config), ..Route53::default() }));
    let control = control_plane(route53).await;
    let told = Arc::new(Mutex::new(Vec::<Status>::new()));
    let hook = told.clone();
    let dns = Dns::start(Settings {
        on_status: Arc::new(move |status| hook.lock().unwrap().push(status.clone())),
        ..Settings::new(format!("http://{}", control.addr), FACTOR)
    })
    .await
    .unwrap();
    eventually(&dns, "hc", false).await;
    tokio::time::sleep(Duration::from_millis(450)).await;
    let last = told.lock().unwrap().last().cloned();
    let expected = Status { check_id: "hc".to_owned(), healthy: false, percent_healthy: Some(0.0) };
    assert_eq!(last, Some(expected));
}

#[tokio::test]
async fn start_without_a_control_plane_is_an_error() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let started = Dns::start(Settings::new(format!("http://{closed}"), FACTOR)).await;
    assert!(matches!(started, Err(Error::Unreachable { .. })));
    let started = Dns::start(Settings::new(format!("http://{closed}"), 0.5)).await;
    assert!(matches!(started, Err(Error::Factor(_))));
}
