//! Against a server on loopback that does what a test tells it with a connection.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const SOON: Duration = Duration::from_millis(500);

/// Serves each connection with `serve`; says how many there were.
async fn server<F: Future<Output = ()> + Send>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            serve(stream).await;
        }
    });
    (url, connections)
}

async fn answer(mut stream: TcpStream, text: &str) {
    let mut request = [0; 2048];
    let length = stream.read(&mut request).await.unwrap();
    assert!(request[..length].starts_with(b"GET /health HTTP/1.1\r\n"));
    stream.write_all(text.as_bytes()).await.unwrap();
}

fn probe() -> Probe {
    // A server that nobody asks: the URLs hold addresses.
    Probe::new(Dns::new(Some("127.0.0.1:1")))
}

#[tokio::test]
async fn an_answer_is_its_status_and_body() {
    let (url, _) = server(|stream| answer(stream, "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nsick")).await;
    assert_eq!(probe().fetch(&url, SOON).await, Fetched::Answered { status: 503, body: "sick".to_owned() });
}

#[tokio::test]
async fn each_probe_connects_anew() {
    let (url, connections) = server(|stream| answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")).await;
    let probe = probe();
    for _ in 0..3 {
        assert_eq!(probe.fetch(&url, SOON).await, Fetched::Answered { status: 200, body: "ok".to_owned() });
    }
    assert_eq!(connections.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_silent() {
    let (url, _) = server(|stream| async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        drop(stream);
    })
    .await;
    assert_eq!(probe().fetch(&url, SOON).await, Fetched::Silent("no answer within 0.5 s".to_owned()));
}

#[tokio::test]
async fn a_body_that_never_ends_is_silent_too() {
    let (url, _) = server(|mut stream| async move {
        let mut request = [0; 2048];
        let _read = stream.read(&mut request).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nok").await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
    })
    .await;
    assert!(matches!(probe().fetch(&url, SOON).await, Fetched::Silent(_)));
}

#[tokio::test]
async fn a_closed_port_is_silent() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    assert!(matches!(probe().fetch(&url, SOON).await, Fetched::Silent(why) if why.contains("refused")));
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_silent() {
    let (url, _) = server(|stream| async move { drop(stream) }).await;
    assert!(matches!(probe().fetch(&url, SOON).await, Fetched::Silent(_)));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_was_not_asked_however_long_the_resolver_took() {
    let silent = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let resolver = silent.local_addr().unwrap().to_string();
    let fetched = Probe::new(Dns::new(Some(&resolver))).fetch("http://primary.shop.example/health", SOON).await;
    assert!(matches!(&fetched, Fetched::NotAsked(why) if why.contains("primary.shop.example")), "{fetched:?}");
}

#[tokio::test]
async fn what_is_no_url_was_not_asked() {
    assert!(matches!(probe().fetch("not a url", SOON).await, Fetched::NotAsked(_)));
    assert!(matches!(probe().fetch("/health", SOON).await, Fetched::NotAsked(_)));
}

#[tokio::test]
async fn a_name_is_reached_by_the_resolvers_answer() {
    use hickory_proto::op::Message;
    use hickory_proto::rr::rdata::A;
    use hickory_proto::rr::{RData, Record};
    let (url, _) = server(|stream| answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")).await;
    let names = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let resolver = names.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        let (length, from) = names.recv_from(&mut buffer).await.unwrap();
        let query = Message::from_vec(&buffer[..length]).unwrap();
        let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
        reply.add_queries(query.queries.clone());
        reply.add_answer(Record::from_rdata(query.queries[0].name.clone(), 60, RData::A(A(Ipv4Addr::LOCALHOST))));
        names.send_to(&reply.to_vec().unwrap(), from).await.unwrap();
    });
    let fetched = Probe::new(Dns::new(Some(&resolver))).fetch(&url.replace("127.0.0.1", "primary.shop.example"), SOON).await;
    assert_eq!(fetched, Fetched::Answered { status: 200, body: "ok".to_owned() });
}
