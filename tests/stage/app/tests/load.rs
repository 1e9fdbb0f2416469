//! The load through DNS, load balancers and back: what users see when a Region dies.

mod support;

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use axum::{
    Json, Router,
    extract::Query,
    http::StatusCode,
    routing::{get, post},
};
use serde::Deserialize;
use stage_app::{
    balancer::Balancer,
    load::{Kind, Load, Settings, committed, outages},
};
use stage_dns::Dns;
use tokio::{net::TcpListener, sync::watch};

use support::eventually;

/// The factor that shortens a 30 s check to 0.1 s and every TTL to a second.
const FACTOR: f64 = 300.0;
const LASTING: Duration = Duration::from_millis(300);

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await });
    addr
}

#[derive(Deserialize)]
struct Page {
    maxitems: u32,
}

/// Route 53 with a failover record over a check of the first Region's load balancer.
async fn route53() -> SocketAddr {
    let record = |routing: &str, target: &str| {
        format!(
            "<ResourceRecordSet><Name>shop.example.com.</Name><Type>CNAME</Type><SetIdentifier>{routing}</SetIdentifier><Failover>{routing}</Failover><TTL>60</TTL>\
             <ResourceRecords><ResourceRecord><Value>{target}</Value></ResourceRecord></ResourceRecords>{}</ResourceRecordSet>",
            if routing == "PRIMARY" { "<HealthCheckId>hc</HealthCheckId>" } else { "" }
        )
    };
    let records = record("PRIMARY", "lb.one.elb.amazonaws.com") + &record("SECONDARY", "lb.two.elb.amazonaws.com");
    let checks = "<ListHealthChecksResponse><HealthChecks><HealthCheck><Id>hc</Id><HealthCheckConfig><Type>HTTP</Type><ResourcePath>/health</ResourcePath>\
        <FullyQualifiedDomainName>lb.one.elb.amazonaws.com</FullyQualifiedDomainName><RequestInterval>30</RequestInterval><FailureThreshold>1</FailureThreshold>\
        </HealthCheckConfig></HealthCheck></HealthChecks></ListHealthChecksResponse>";
    let zones = "<ListHostedZonesResponse><HostedZones><HostedZone><Id>/hostedzone/Z1</Id><Name>example.com.</Name></HostedZone></HostedZones></ListHostedZonesResponse>";
    let sets = format!(
        "<ListResourceRecordSetsResponse><ResourceRecordSets>{records}</ResourceRecordSets><IsTruncated>false</IsTruncated></ListResourceRecordSetsResponse>"
    );
    let paged = |answer: String| get(move |Query(page): Query<Page>| async move { if page.maxitems > 0 { answer } else { String::new() } });
    let app = Router::new()
        .route("/2013-04-01/hostedzone", paged(zones.to_owned()))
        .route("/2013-04-01/healthcheck", paged(checks.to_owned()))
        .route("/2013-04-01/hostedzone/Z1/rrset", paged(sets));
    serve(app).await
}

/// A Region's load balancer over one target that takes every order, and is well as long as it is told so.
async fn region(name: &'static str) -> (Balancer, watch::Sender<bool>) {
    let (well, seen) = watch::channel(true);
    let health = move || async move { if *seen.borrow() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE } };
    let answer = move || async move { ([("x-region", name)], Json("ok")) };
    let app = Router::new().route("/ready", get(answer)).route("/health", get(health)).route("/read", get(answer)).route("/write", post(answer));
    let balancer = Balancer::start().await.unwrap();
    balancer.register(serve(app).await);
    eventually("a healthy target", async || !balancer.healthy().is_empty()).await;
    (balancer, well)
}

async fn dns(one: &Balancer, two: &Balancer) -> Dns {
    let dns = Dns::start(stage_dns::Settings::new(format!("http://{}", route53().await), FACTOR)).await.unwrap();
    dns.publish("lb.one.elb.amazonaws.com", one.addr());
    dns.publish("lb.two.elb.amazonaws.com", two.addr());
    dns
}

/// The Regions that answered the last requests.
fn regions(load: &Load, last: usize) -> BTreeSet<String> {
    load.records().iter().rev().take(last).filter_map(|record| record.region.clone()).collect()
}

#[tokio::test]
async fn user_whose_connection_is_past_its_life_follows_dns_and_one_who_keeps_it_stays() {
    let ((one, well), (two, _well_two)) = (region("one").await, region("two").await);
    let dns = dns(&one, &two).await;
    let load = |life| Load::start(Settings { connection_life: life, clients: 1, ..Settings::new(dns.addr(), "shop.example.com") });
    let (follows, stays) = (load(Duration::from_millis(200)), load(Duration::from_secs(60)));
    let both = |region: &str| [&follows, &stays].map(|load| regions(load, 10) == BTreeSet::from([region.to_owned()]));
    eventually("answers of the first Region", async || both("one") == [true, true]).await;
    well.send_replace(false);
    eventually("one user moved", async || both("two")[0]).await;
    // Contains rather than equals: two requests at once make it open one more connection, and a new one goes to the second Region.
    assert!(regions(&stays, 10).contains("one"));
}

#[tokio::test]
async fn users_are_moved_to_the_other_region_and_their_outage_is_measured() {
    let ((one, _well_one), (two, _well_two)) = (region("one").await, region("two").await);
    let dns = dns(&one, &two).await;
    let load = Load::start(Settings { time_out: Duration::from_millis(400), ..Settings::new(dns.addr(), "shop.example.com") });
    eventually("both kinds served", async || {
        let records = load.records();
        [Kind::Read, Kind::Write].iter().all(|kind| records.iter().filter(|record| record.kind == *kind).count() >= 10)
    })
    .await;
    assert!(load.records().iter().all(|record| record.ok && record.region.as_deref() == Some("one")), "{:?}", load.records());

    one.dark(true);
    let over = |kind| {
        let outages = outages(&load.records(), kind, LASTING);
        outages.len() == 1 && outages[0].until.is_some()
    };
    eventually("both kinds served again", async || over(Kind::Read) && over(Kind::Write)).await;

    let records = load.stop().await;
    let [outage] = outages(&records, Kind::Write, LASTING).try_into().unwrap();
    let length = Duration::try_from(outage.length().unwrap()).unwrap();
    assert!(length > Duration::from_millis(400) && length < Duration::from_secs(6), "{length:?}");
    let committed = committed(&records);
    assert_eq!(committed.keys().collect::<Vec<_>>(), ["one", "two"]);
    let written = records.iter().filter(|record| record.kind == Kind::Write);
    let told = written.clone().filter(|record| record.ok).count();
    assert_eq!(committed.values().map(|orders| orders.len()).sum::<usize>(), told);
    assert_eq!(written.count() - told, outage.failed);
}
