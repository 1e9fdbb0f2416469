//! One call from its arrival to its answer.
//!
//! ```text
//! read ─► dark? (hold it) ─► faults before ─► judge ─► do ─► learn ─► rewrite ─► faults after ─► log, answer
//! ```

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::carry::sns;
use crate::directory::{Caller, Directory, Verdict};
use crate::faults::FaultKind;
use crate::log::{Call, CallVerdict};
use crate::policy::Need;
use crate::refuse::{Refusal, json_answer};
use crate::request::{self, Parsed, Protocol, Request};
use crate::resources::{Lookup, UnknownResources, needs, request_tags};
use crate::route::{Answer, ForwardError};
use crate::{Inner, lock};

type Response = http::Response<Full<Bytes>>;

pub(crate) async fn listen(inner: Arc<Inner>, listener: TcpListener) {
    loop {
        // Out of file descriptors, say: the next accept may do better.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let serving = Arc::clone(&inner);
        inner.spawn(async move {
            let service = service_fn(|request| {
                let inner = Arc::clone(&serving);
                async move { Ok::<_, Infallible>(respond(&inner, request).await) }
            });
            // A caller that hangs up is no error of the stage's.
            let _: Result<(), hyper::Error> = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn respond(inner: &Arc<Inner>, incoming: http::Request<Incoming>) -> Response {
    let (parts, body) = incoming.into_parts();
    let Ok(body) = body.collect().await else {
        // The caller hung up in the middle: nobody reads the answer.
        return Response::default();
    };
    let request = Request {
        method: parts.method,
        path: request::path_with_bucket(parts.uri.path(), parts.headers.get(http::header::HOST)),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: body.to_bytes(),
    };
    let answer = inner.answer(&request).await;
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

/// A call with what the router found out about it.
struct Judged<'a> {
    request: &'a Request,
    call: &'a Parsed,
    caller: Caller,
    needs: Result<Vec<Need>, UnknownResources>,
}

impl Inner {
    async fn answer(self: &Arc<Self>, request: &Request) -> Answer {
        if request.path.starts_with(sns::PATH) && request.method == Method::POST {
            return match self.notified(request) {
                Ok(()) => Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::new() },
                Err(refusal) => refusal.answer("sns", Protocol::Json),
            };
        }
        let mut call = match request::read(request) {
            Ok(call) => call,
            Err(error) => return Refusal::stage(error.to_string()).answer("", Protocol::Json),
        };
        if call.service == "s3"
            && let Some(region) = call.text("Bucket").and_then(|bucket| lock(&self.directory).bucket_region(bucket).map(str::to_owned))
        {
            // A bucket answers from its own Region, whatever Region its caller signed for.
            call.region = region;
        }
        let caller = lock(&self.directory).caller(call.access_key.as_deref());
        let find_secret = |id: &str| self.secrets.arn(&call.region, id);
        let found = needs(&call, &Lookup { account: &self.account, secret: &find_secret });
        let judged = Judged { request, call: &call, caller, needs: found };
        self.handle(&judged).await
    }

    async fn handle(self: &Arc<Self>, judged: &Judged<'_>) -> Answer {
        let started = Instant::now();
        let call = judged.call;
        let mut record = judged.record();
        if self.is_dark(&call.region) || judged.caller.region().is_some_and(|region| self.is_dark(region)) {
            record.verdict = CallVerdict::Dark;
            self.log.add(record);
            // The connection stays open until the caller gives up; then this future is dropped with it.
            return std::future::pending().await;
        }
        let function = judged.caller.function().and_then(|arn| arn.rsplit(':').next()).unwrap_or_default();
        let callers = [record.caller.as_str(), function];
        let faults = lock(&self.faults).take(&call.service, &call.operation, &call.region, &callers);
        if !faults.is_empty() {
            record.fault = Some(faults.iter().map(|fault| format!("{fault:?}")).collect::<Vec<_>>().join(", "));
        }
        let result = self.under_faults(judged, &faults, &mut record).await;
        let mut answer = result.unwrap_or_else(|refusal| refusal.answer(&call.service, call.protocol));
        if judged.request.method == Method::HEAD {
            answer.body = Bytes::new();
        }
        record.status = Some(answer.status.as_u16());
        record.millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.log.add(record);
        answer
    }

    async fn under_faults(self: &Arc<Self>, judged: &Judged<'_>, faults: &[FaultKind], record: &mut Call) -> Result<Answer, Refusal> {
        let call = judged.call;
        let mut lost = false;
        for fault in faults {
            match fault {
                FaultKind::Delay(delay) => tokio::time::sleep(*delay).await,
                FaultKind::Throttle => return Err(Refusal::throttled(&call.service)),
                FaultKind::Fail => return Err(Refusal::broken(&call.service)),
                FaultKind::Deny => {
                    let sentence = format!(
                        "User: {} is not authorized to perform: {}:{} because the stage was told to deny it",
                        record.caller, call.service, call.operation
                    );
                    record.verdict = CallVerdict::Denied;
                    return Err(Refusal::denied(&call.service, call.protocol, sentence));
                }
                FaultKind::LoseAnswer => lost = true,
            }
        }
        self.judge(judged, record)?;
        let answer = self.act(judged).await?;
        if lost {
            return Err(Refusal::broken(&call.service));
        }
        Ok(self.rewritten(judged, record, answer))
    }

    fn judge(&self, judged: &Judged<'_>, record: &mut Call) -> Result<(), Refusal> {
        let call = judged.call;
        match &judged.caller {
            Caller::Root | Caller::Unjudged(_) | Caller::Anonymous => return Ok(()),
            Caller::Stranger(key) => {
                record.verdict = CallVerdict::Error;
                return Err(Refusal::stage(format!(
                    "the access key {key} is neither root, nor minted for a function that was created through the router, nor registered"
                )));
            }
            Caller::Role { .. } => {}
        }
        record.verdict = CallVerdict::Error;
        let needs = judged.needs.as_ref().map_err(|error| Refusal::stage(error.to_string()))?;
        match lock(&self.directory).judge(&judged.caller, needs, &call.region) {
            Verdict::Allowed => {
                record.verdict = CallVerdict::Allowed;
                Ok(())
            }
            Verdict::Denied { sentence } => {
                record.verdict = CallVerdict::Denied;
                Err(Refusal::denied(&call.service, call.protocol, sentence))
            }
            Verdict::Misconfigured(sentence) => Err(Refusal::stage(sentence)),
        }
    }

    /// Does the call: here, or at its backend.
    async fn act(self: &Arc<Self>, judged: &Judged<'_>) -> Result<Answer, Refusal> {
        let call = judged.call;
        if let Err(error) = Directory::check(call) {
            return Err(Refusal::stage(format!("{}: {error}", call.text("PolicyName").unwrap_or("a policy"))));
        }
        let answer = match call.service.as_str() {
            "secretsmanager" => self.secrets_call(judged).await?,
            "scheduler" => match self.schedule_call(call) {
                Some(answer) => json_answer(call.protocol, &answer?),
                None => self.pass_on(judged.request, call).await?,
            },
            "sns" => self.sns_call(judged).await?,
            "events" => self.events_call(judged).await?,
            "s3" => self.s3_call(judged).await?,
            _ => self.pass_on(judged.request, call).await?,
        };
        if answer.status.is_success() {
            self.learn(judged, &answer);
        }
        Ok(answer)
    }

    fn learn(self: &Arc<Self>, judged: &Judged<'_>, answer: &Answer) {
        let call = judged.call;
        let mut directory = lock(&self.directory);
        directory.learn(call, &answer.body);
        let tags = !request_tags(&call.params).is_empty() || matches!(call.operation.as_str(), "UntagResource" | "RemoveTagsFromResource");
        if let (true, Ok(needs)) = (tags, &judged.needs) {
            directory.learn_tags(call, needs);
        }
        drop(directory);
        match (call.service.as_str(), call.operation.as_str()) {
            ("events", _) => self.learn_rule(call),
            ("cloudwatch", "PutCompositeAlarm") => lock(&self.topics).learn_composite(call),
            _ => {}
        }
    }

    async fn pass_on(&self, request: &Request, call: &Parsed) -> Result<Answer, Refusal> {
        let complete = lock(&self.groups).complete(request, call);
        let request = complete.as_ref().unwrap_or(request);
        let answer = self.backends.forward(request, &call.signing_name, &call.region).await.map_err(unreachable)?;
        // An object may well be a web page.
        if call.service != "s3" && answer.is_html() {
            return Err(Refusal::stage(format!(
                "the emulator does not support {}:{} as it was called (it answered {} with a page for people)",
                call.service, call.operation, answer.status
            )));
        }
        let defines = ["Create", "Register", "Update", "Delete"].iter().any(|verb| call.operation.starts_with(verb));
        if call.service == "ecs" && defines && answer.status.is_success() {
            self.backends.shadow(request, &call.signing_name, &call.region).await;
        }
        Ok(answer)
    }

    async fn secrets_call(self: &Arc<Self>, judged: &Judged<'_>) -> Result<Answer, Refusal> {
        let call = judged.call;
        let answer = match call.operation.as_str() {
            "RotateSecret" => self.rotate_secret(call).await,
            _ => match self.secrets.handle(call, &self.dark_regions()) {
                Some(answer) => answer,
                // GetRandomPassword has no state.
                None => return self.pass_on(judged.request, call).await,
            },
        };
        match answer {
            Ok(body) => Ok(json_answer(call.protocol, &body)),
            Err(fault) => Err(Refusal::bad(fault.code, fault.message)),
        }
    }

    async fn sns_call(&self, judged: &Judged<'_>) -> Result<Answer, Refusal> {
        let call = judged.call;
        let topic = ["TopicArn", "TargetArn"].iter().find_map(|name| call.text(name));
        if topic.is_some_and(|arn| arn.split(':').nth(3) != Some(&call.region)) {
            return Err(Refusal::bad("InvalidParameter", "Invalid parameter: TopicArn"));
        }
        match (call.operation.as_str(), call.text("Protocol"), call.text("Endpoint")) {
            ("Subscribe", Some("lambda"), Some(function)) => self.subscribe(call, function).await,
            _ => self.pass_on(judged.request, call).await.map(|answer| self.show_subscriptions(answer)),
        }
    }

    async fn events_call(&self, judged: &Judged<'_>) -> Result<Answer, Refusal> {
        let call = judged.call;
        if matches!(call.operation.as_str(), "EnableRule" | "DisableRule") && self.is_scheduled_rule(call) {
            return Ok(json_answer(call.protocol, &serde_json::json!({})));
        }
        let quiet = self.quieten(call)?.map(|body| Request { body, ..judged.request.clone() });
        let answer = self.pass_on(quiet.as_ref().unwrap_or(judged.request), call).await?;
        match (call.operation.as_str(), serde_json::from_slice::<Value>(&answer.body)) {
            ("DescribeRule" | "ListRules", Ok(body)) => Ok(Answer { body: Bytes::from(self.show_rules(body).to_string()), ..answer }),
            _ => Ok(answer),
        }
    }

    /// A bucket's own policy decides for strangers; and who may not list a bucket is not told that a key is missing.
    async fn s3_call(&self, judged: &Judged<'_>) -> Result<Answer, Refusal> {
        let call = judged.call;
        let answer = match judged.caller {
            Caller::Anonymous => self.backends.forward_unsigned(judged.request).await.map_err(unreachable)?,
            _ => self.pass_on(judged.request, call).await?,
        };
        let reads = matches!(call.operation.as_str(), "GetObject" | "HeadObject");
        if !reads || answer.status != StatusCode::NOT_FOUND {
            return Ok(answer);
        }
        let list = Need {
            action: "s3:ListBucket".to_owned(),
            resource: format!("arn:aws:s3:::{}", call.text("Bucket").unwrap_or_default()),
            context: crate::policy::Context::new(),
        };
        match lock(&self.directory).judge(&judged.caller, &[list], &call.region) {
            Verdict::Allowed => Ok(answer),
            Verdict::Denied { sentence } | Verdict::Misconfigured(sentence) => Err(Refusal::denied("s3", Protocol::RestXml, sentence)),
        }
    }

    fn rewritten(&self, judged: &Judged<'_>, record: &Call, answer: Answer) -> Answer {
        let call = judged.call;
        if call.protocol != Protocol::Json || !answer.status.is_success() {
            return answer;
        }
        let rewrites = lock(&self.rewrites);
        let mut fitting = rewrites.iter().filter(|(service, operation, _)| *service == call.service && *operation == call.operation).peekable();
        if fitting.peek().is_none() {
            return answer;
        }
        let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else { return answer };
        let body = fitting.fold(body, |body, (_, _, rewrite)| rewrite(record, body));
        Answer { body: Bytes::from(body.to_string()), ..answer }
    }
}

impl Judged<'_> {
    fn record(&self) -> Call {
        let mut resources: Vec<String> = Vec::new();
        for need in self.needs.iter().flatten() {
            if !resources.contains(&need.resource) {
                resources.push(need.resource.clone());
            }
        }
        Call {
            time: Timestamp::now(),
            caller: self.caller.name(),
            function: self.caller.function().map(str::to_owned),
            region: self.call.region.clone(),
            service: self.call.service.clone(),
            operation: self.call.operation.clone(),
            resources,
            verdict: CallVerdict::NotJudged,
            fault: None,
            status: None,
            millis: 0,
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is the shape of map_err")]
fn unreachable(error: ForwardError) -> Refusal {
    // The chain's end says what really happened.
    let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    Refusal::stage(format!("{error}{source}"))
}
