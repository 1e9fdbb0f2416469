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

    async fn put_one(&self, key: &str, kind: &str, body: &str) -> Result<(), CallError> {
        let put = self.client.put_object().bucket(&self.bucket).key(key).content_type(kind).body(ByteStream::from(body.as_bytes().to_vec()));
        put.send().await.map_err(failed("s3:PutObject"))?;
        Ok(())
    }
}

impl Reports for S3Reports {
    async fn put(&self, run: &str, json: &str, html: &str) -> Result<String, CallError> {
        let page = format!("{run}.html");
        let data = format!("{run}.json");
        tokio::try_join!(self.put_one(&data, "application/json", json), self.put_one(&page, "text/html; charset=utf-8", html))?;
        Ok(format!("s3://{}/{page}", self.bucket))
    }
}

#[cfg(test)]
mod tests;
