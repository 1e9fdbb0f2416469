//! Against a server on loopback that answers what a test tells it.

use std::net::Ipv4Addr;

use hickory_proto::rr::rdata::{A, CNAME, TXT};
use hickory_proto::rr::{RData, Record};

use super::*;

/// A name server that answers each query with what `answer` makes of it; an empty list is silence.
async fn server(answer: impl Fn(&Message) -> Vec<Vec<u8>> + Send + 'static) -> String {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            for datagram in answer(&Message::from_vec(&buffer[..length]).unwrap()) {
                socket.send_to(&datagram, from).await.unwrap();
            }
        }
    });
    address
}

fn reply(query: &Message) -> Message {
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.add_queries(query.queries.clone());
    reply
}

fn bytes(message: &Message) -> Vec<Vec<u8>> {
    vec![message.to_vec().unwrap()]
}

fn record(name: &str, data: RData) -> Record {
    Record::from_rdata(Name::from_ascii(name).unwrap(), 60, data)
}

fn alias(name: &str, to: &str) -> Record {
    record(name, RData::CNAME(CNAME(Name::from_ascii(to).unwrap())))
}

fn address(name: &str, last: u8) -> Record {
    record(name, RData::A(A(Ipv4Addr::new(192, 0, 2, last))))
}

async fn refusal(code: ResponseCode) -> CallError {
    let server = server(move |query| {
        let mut reply = reply(query);
        reply.metadata.response_code = code;
        bytes(&reply)
    })
    .await;
    Dns::new(Some(&server)).resolve("www.shop.example").await.unwrap_err()
}

#[tokio::test]
async fn a_chain_of_aliases_is_followed_to_its_addresses() {
    let server = server(|query| {
        assert!(query.metadata.recursion_desired);
        let mut reply = reply(query);
        reply.add_answers([
            address("lb.us-west-2.example.", 7),
            alias("WWW.shop.example.", "Standby.shop.example."),
            alias("standby.shop.example.", "lb.us-west-2.example."),
            address("somebody.else.example.", 9),
        ]);
        bytes(&reply)
    })
    .await;
    let resolved = Dns::new(Some(&server)).resolve("www.shop.example").await.unwrap();
    assert_eq!(resolved.names, ["www.shop.example", "standby.shop.example", "lb.us-west-2.example"]);
    assert_eq!(resolved.addresses.into_iter().collect::<Vec<_>>(), [IpAddr::from([192, 0, 2, 7])]);
}

#[tokio::test]
async fn a_loop_of_aliases_ends() {
    let server = server(|query| {
        let mut reply = reply(query);
        reply.add_answers([alias("www.shop.example.", "a.example."), alias("a.example.", "www.shop.example.")]);
        bytes(&reply)
    })
    .await;
    let error = Dns::new(Some(&server)).resolve("www.shop.example").await.unwrap_err();
    assert!(matches!(error.why, Why::NotFound(_)), "{error}");
}

#[tokio::test]
async fn a_missing_name_is_not_found_and_a_server_in_trouble_is_no_answer() {
    assert!(matches!(refusal(ResponseCode::NXDomain).await.why, Why::NotFound(_)));
    assert!(matches!(refusal(ResponseCode::ServFail).await.why, Why::Unanswered(_)));
    assert!(matches!(refusal(ResponseCode::Refused).await.why, Why::Unanswered(_)));
}

#[tokio::test]
async fn a_truncated_answer_is_no_answer() {
    let server = server(|query| {
        let mut reply = reply(query);
        reply.metadata.truncation = true;
        bytes(&reply)
    })
    .await;
    let error = Dns::new(Some(&server)).resolve("www.shop.example").await.unwrap_err();
    assert!(matches!(&error.why, Why::Unanswered(why) if why.contains("too long")), "{error}");
}

#[tokio::test]
async fn answers_with_another_id_or_question_and_noise_are_passed_over() {
    let server = server(|query| {
        let mut forged = reply(query);
        forged.metadata.id = query.metadata.id.wrapping_add(1);
        forged.add_answer(address("www.shop.example.", 66));
        let mut other = Message::response(query.metadata.id, query.metadata.op_code);
        other.add_query(Query::query(Name::from_ascii("other.example.").unwrap(), RecordType::A));
        other.add_answer(address("www.shop.example.", 67));
        let mut right = reply(query);
        right.add_answer(address("www.shop.example.", 7));
        vec![b"noise".to_vec(), forged.to_vec().unwrap(), other.to_vec().unwrap(), right.to_vec().unwrap()]
    })
    .await;
    let resolved = Dns::new(Some(&server)).resolve("www.shop.example").await.unwrap();
    assert_eq!(resolved.addresses.into_iter().collect::<Vec<_>>(), [IpAddr::from([192, 0, 2, 7])]);
}

#[tokio::test]
async fn a_silent_server_is_asked_twice_and_then_is_no_answer() {
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = asked.clone();
    let server = server(move |_| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Vec::new()
    })
    .await;
    let error = Dns::new(Some(&server)).texts("verdict.shop.example").await.unwrap_err();
    assert!(matches!(&error.why, Why::Unanswered(why) if why.contains("did not answer within 1 s")), "{error}");
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_lost_datagram_is_made_good_by_the_second_try() {
    let first = std::sync::atomic::AtomicBool::new(true);
    let server = server(move |query| {
        if first.swap(false, std::sync::atomic::Ordering::Relaxed) {
            return Vec::new();
        }
        let mut reply = reply(query);
        reply.add_answer(address("www.shop.example.", 7));
        bytes(&reply)
    })
    .await;
    assert!(Dns::new(Some(&server)).resolve("www.shop.example").await.is_ok());
}

#[tokio::test]
async fn texts_are_put_together_from_their_strings() {
    let server = server(|query| {
        assert_eq!(query.queries[0].query_type, RecordType::TXT);
        let mut reply = reply(query);
        reply.add_answer(record("verdict.shop.example.", RData::TXT(TXT::new(vec!["U".to_owned(), "P".to_owned()]))));
        bytes(&reply)
    })
    .await;
    assert_eq!(Dns::new(Some(&server)).texts("verdict.shop.example").await.unwrap(), ["UP"]);
}

#[tokio::test]
async fn an_answer_without_texts_is_not_found() {
    let server = server(|query| bytes(&reply(query))).await;
    let error = Dns::new(Some(&server)).texts("verdict.shop.example").await.unwrap_err();
    assert!(matches!(error.why, Why::NotFound(_)), "{error}");
}

#[tokio::test]
async fn a_resolver_that_is_no_address_is_said_with_its_remedy() {
    let error = Dns::new(Some("resolver.example")).resolve("www.shop.example").await.unwrap_err();
    assert!(error.to_string().contains("set it to `ip:port`"), "{error}");
}

#[test]
fn the_systems_servers_are_read_in_order() {
    let text = "# comment\nsearch shop.example\nnameserver 169.254.78.1\nnameserver fd00::2\noptions timeout:1\nnameserver nonsense\n";
    let servers = name_servers(text);
    assert_eq!(servers, ["169.254.78.1:53".parse().unwrap(), "[fd00::2]:53".parse().unwrap()]);
}
