//! Reports in S3, in the standby Region.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;

use super::{Aws, failed};
use crate::ports::{CallError, Reports};

#[derive(Debug, Clone)]
pub struct S3Reports {
    client: Client,
    bucket: String,
}

impl S3Reports {
    pub fn new(aws: &Aws, bucket: String) -> S3Reports {
        let config = aws_sdk_s3::config::Builder::from(aws.standby()).force_path_style(aws.has_own_endpoint()).interceptor(aws.counter()).build();
        S3Reports { client: Client::from_conf(config), bucket }
    }

    async fn put_one(&self, key: &str, kind: &str, body: Vec<u8>) -> Result<(), CallError> {
        let put = self.client.put_object().bucket(&self.bucket).key(key).content_type(kind).body(ByteStream::from(body));
        put.send().await.map_err(failed("s3:PutObject"))?;
        Ok(())
    }
}

impl Reports for S3Reports {
    async fn put(&self, run: &str, json: &str, html: &str) -> Result<String, CallError> {
        let page = format!("{run}.html");
        let data = format!("{run}.json");
        tokio::try_join!(self.put_one(&data, "application/json", json.into()), self.put_one(&page, "text/html; charset=utf-8", html.into()))?;
        Ok(format!("s3://{}/{page}", self.bucket))
    }

    async fn put_rows(&self, run: &str, database: &str, table: &str, lines: &[String]) -> Result<String, CallError> {
        let table = plain(table);
        let key = format!("{run}/rows/{database}/{table}.jsonl");
        let body = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"]).flatten().copied().collect();
        self.put_one(&key, "application/x-ndjson", body).await?;
        Ok(format!("s3://{}/{key}", self.bucket))
    }
}

/// A table's name may hold anything, a slash too. No two names become one: what one table left would replace what another did.
fn plain(table: &str) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    table.bytes().map(|byte| if kept(byte) { char::from(byte).to_string() } else { format!("~{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests;
