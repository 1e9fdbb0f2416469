//! The answers on the wire: one UDP socket, DNS messages in and out.

use std::{net::SocketAddr, sync::Arc};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, CNAME, SOA, SRV, TXT},
    },
};
use tokio::net::UdpSocket;

use crate::{
    State,
    answer::{self, Code},
    config::{Kind, Value},
};

const MAX_DATAGRAM: usize = 4096;
/// Route 53's SOA: how long a negative answer may be kept.
const NEGATIVE_TTL: u32 = 900;
const SOA_REFRESH: i32 = 7200;
const SOA_RETRY: i32 = 900;
const SOA_EXPIRE: i32 = 1_209_600;

/// Answers for ever.
pub(crate) async fn serve(socket: UdpSocket, state: Arc<State>) {
    let mut buffer = [0; MAX_DATAGRAM];
    loop {
        // An error here belongs to an earlier datagram, whose client is gone.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        if let Some(response) = respond(&buffer[..length], &state) {
            send(&socket, &response, client).await;
        }
    }
}

async fn send(socket: &UdpSocket, response: &[u8], client: SocketAddr) {
    // A client that no longer listens asks again, if it wants to know.
    let _ = socket.send_to(response, client).await;
}

/// None for what is no query at all: answering such would let two servers talk for ever.
fn respond(datagram: &[u8], state: &State) -> Option<Vec<u8>> {
    let query = Message::from_vec(datagram).ok()?;
    if query.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut response = Message::response(query.metadata.id, query.metadata.op_code);
    response.metadata.recursion_desired = query.metadata.recursion_desired;
    response.add_queries(query.queries.iter().cloned());
    let limit = query.max_payload();
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(limit);
        response.set_edns(edns);
    }
    match query.queries.as_slice() {
        _ if query.metadata.op_code != OpCode::Query => {
            response.metadata.response_code = ResponseCode::NotImp;
        }
        [question] if question.query_class() == DNSClass::IN => {
            let answer = state.answer(&question.name().to_ascii(), kind(question.query_type()));
            fill(&mut response, answer, state)?;
        }
        [_] => response.metadata.response_code = ResponseCode::Refused,
        _ => response.metadata.response_code = ResponseCode::FormErr,
    }
    let bytes = response.to_vec().ok()?;
    if bytes.len() > usize::from(limit) {
        return response.truncate().to_vec().ok();
    }
    Some(bytes)
}

fn kind(asked: RecordType) -> Option<Kind> {
    match asked {
        RecordType::A => Some(Kind::A),
        RecordType::CNAME => Some(Kind::Cname),
        RecordType::TXT => Some(Kind::Txt),
        RecordType::SRV => Some(Kind::Srv),
        _ => None,
    }
}

fn fill(response: &mut Message, answer: answer::Answer, state: &State) -> Option<()> {
    response.metadata.response_code = match answer.code {
        Code::NoError => ResponseCode::NoError,
        Code::NxDomain => ResponseCode::NXDomain,
        Code::Refused => ResponseCode::Refused,
    };
    response.metadata.authoritative = answer.code != Code::Refused;
    for record in answer.records {
        let ttl = state.scaled_ttl(record.ttl);
        response.add_answer(Record::from_rdata(absolute(&record.name)?, ttl, rdata(record.value)?));
    }
    if let Some(zone) = answer.negative_in {
        let ttl = state.scaled_ttl(NEGATIVE_TTL);
        let soa = SOA::new(absolute(&format!("ns.{zone}"))?, absolute("awsdns-hostmaster.amazon.com")?, 1, SOA_REFRESH, SOA_RETRY, SOA_EXPIRE, ttl);
        response.add_authority(Record::from_rdata(absolute(&zone)?, ttl, RData::SOA(soa)));
    }
    Some(())
}

fn rdata(value: Value) -> Option<RData> {
    Some(match value {
        Value::A(ip) => RData::A(A(ip)),
        Value::Cname(target) => RData::CNAME(CNAME(absolute(&target)?)),
        Value::Txt(strings) => RData::TXT(TXT::new(strings)),
        Value::Srv { priority, weight, port, target } => RData::SRV(SRV::new(priority, weight, port, absolute(&target)?)),
    })
}

pub(crate) fn absolute(name: &str) -> Option<Name> {
    let mut name = Name::from_ascii(name).ok()?;
    name.set_fqdn(true);
    Some(name)
}
