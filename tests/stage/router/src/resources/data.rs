//! The needs of services that hold data or carry messages: secrets, tables, buckets, topics, queues, metrics, logs.

use serde_json::Value;

use super::{Known, Needs};

impl Needs<'_> {
    pub(super) fn secretsmanager(&mut self) -> Known {
        if let Some(stage) = self.call.text("VersionStage") {
            self.context.insert("secretsmanager:versionstage".to_owned(), vec![stage.to_owned()]);
        }
        match self.call.operation.as_str() {
            "GetRandomPassword" | "ListSecrets" => self.on("*"),
            "BatchGetSecretValue" => {
                let ids = self.call.params.get("SecretIdList").and_then(Value::as_array);
                let arns: Vec<_> = ids.into_iter().flatten().filter_map(Value::as_str).map(self.lookup.secret).collect();
                arns.into_iter().try_for_each(|arn| self.also("GetSecretValue", arn))?;
                self.on("*")
            }
            "CreateSecret" => {
                // The suffix is not chosen yet: any six characters.
                let arn = self.arn(&format!("secret:{}-0ec5ID", self.call.text("Name")?));
                if self.context.contains_key("aws:tagkeys") {
                    self.also("TagResource", arn.clone())?;
                }
                self.on(arn)
            }
            operation => {
                let arn = (self.lookup.secret)(self.call.text("SecretId")?);
                if operation == "ReplicateSecretToRegions" {
                    let regions = self.call.params.get("AddReplicaRegions").and_then(Value::as_array);
                    let regions = regions.into_iter().flatten().filter_map(|region| region.get("Region")?.as_str()).map(str::to_owned).collect();
                    self.context.insert("secretsmanager:addreplicaregions".to_owned(), regions);
                    let forced = self.call.params.get("ForceOverwriteReplicaSecret").and_then(Value::as_bool).unwrap_or_default();
                    self.context.insert("secretsmanager:forceoverwritereplicasecret".to_owned(), vec![forced.to_string()]);
                }
                if operation == "RotateSecret"
                    && let Some(function) = self.call.text("RotationLambdaARN").map(str::to_owned)
                {
                    self.context.insert("secretsmanager:rotationlambdaarn".to_owned(), vec![function.clone()]);
                    self.foreign("lambda:InvokeFunction", &function, None);
                }
                self.on(arn)
            }
        }
    }

    pub(super) fn dynamodb(&mut self) -> Known {
        let (region, account) = (self.call.region.clone(), self.lookup.account);
        let table = |name: &str| match name.starts_with("arn:") {
            true => name.to_owned(),
            false => format!("arn:aws:dynamodb:{region}:{account}:table/{name}"),
        };
        match self.call.operation.as_str() {
            "ListTables" | "DescribeLimits" | "DescribeEndpoints" => self.on("*"),
            "TransactWriteItems" | "TransactGetItems" => {
                let items = self.call.params.get("TransactItems").and_then(Value::as_array)?.clone();
                let parts: Vec<_> = items.iter().filter_map(Value::as_object).flatten().collect();
                parts.into_iter().try_for_each(|(kind, part)| {
                    let action = match kind.as_str() {
                        "Put" => "PutItem",
                        "Update" => "UpdateItem",
                        "Delete" => "DeleteItem",
                        "ConditionCheck" => "ConditionCheckItem",
                        "Get" => "GetItem",
                        _ => return None,
                    };
                    let arn = table(part.get("TableName")?.as_str()?);
                    self.also(action, arn)
                })
            }
            "BatchGetItem" | "BatchWriteItem" => {
                let tables = self.call.params.get("RequestItems").and_then(Value::as_object)?;
                let arns: Vec<_> = tables.keys().map(|name| table(name)).collect();
                arns.into_iter().try_for_each(|arn| self.on(arn))
            }
            "TagResource" | "UntagResource" | "ListTagsOfResource" => {
                let arn = self.call.text("ResourceArn")?;
                self.on(arn)
            }
            _ => {
                let arn = table(self.call.text("TableName")?);
                let index = self.call.text("IndexName").map(|index| format!("{arn}/index/{index}"));
                self.on(index.unwrap_or(arn))
            }
        }
    }

    pub(super) fn sns(&mut self) -> Known {
        match self.call.operation.as_str() {
            "ListTopics" | "ListSubscriptions" => self.on("*"),
            "CreateTopic" => {
                let arn = self.named("Name", "")?;
                self.on(arn)
            }
            operation => {
                if operation == "Subscribe" {
                    for (parameter, key) in [("Protocol", "sns:protocol"), ("Endpoint", "sns:endpoint")] {
                        self.context.insert(key.to_owned(), self.call.text(parameter).into_iter().map(str::to_owned).collect());
                    }
                }
                let named = ["TopicArn", "TargetArn", "ResourceArn"].iter().find_map(|name| self.call.text(name));
                // A subscription's ARN is its topic's and an id.
                let topic = named.or_else(|| self.call.text("SubscriptionArn")?.rsplit_once(':').map(|(topic, _)| topic))?;
                let action = if operation == "PublishBatch" { "Publish" } else { operation };
                self.also(action, topic)
            }
        }
    }

    pub(super) fn sqs(&mut self) -> Known {
        let action = match self.call.operation.as_str() {
            "SendMessageBatch" => "SendMessage",
            "DeleteMessageBatch" => "DeleteMessage",
            other => other,
        };
        if action == "ListQueues" {
            return self.on("*");
        }
        let queue = self.call.text("QueueName").or_else(|| self.call.text("QueueUrl")?.rsplit('/').next())?;
        self.also(action, self.arn(queue))
    }

    pub(super) fn s3(&mut self) -> Known {
        let bucket = format!("arn:aws:s3:::{}", self.call.text("Bucket").unwrap_or_default());
        let object = format!("{bucket}/{}", self.call.text("Key").unwrap_or_default());
        if let Some(prefix) = self.call.text("prefix") {
            self.context.insert("s3:prefix".to_owned(), vec![prefix.to_owned()]);
        }
        let versioned = self.call.text("versionId").is_some();
        match self.call.operation.as_str() {
            "GetObject" | "HeadObject" if versioned => self.also("GetObjectVersion", object),
            "DeleteObject" if versioned => self.also("DeleteObjectVersion", object),
            "GetObject" | "HeadObject" => self.also("GetObject", object),
            "PutObject" | "UploadPart" | "CreateMultipartUpload" | "CompleteMultipartUpload" => self.also("PutObject", object),
            "CopyObject" => {
                let source = format!("arn:aws:s3:::{}", self.call.text("CopySource")?);
                self.also("GetObject", source)?;
                self.also("PutObject", object)
            }
            "DeleteObject" | "AbortMultipartUpload" | "GetObjectTagging" | "PutObjectTagging" => self.on(object),
            "DeleteObjects" => self.also("DeleteObject", format!("{bucket}/*")),
            "ListBuckets" => self.also("ListAllMyBuckets", "*"),
            "ListObjects" | "ListObjectsV2" | "HeadBucket" => self.also("ListBucket", bucket),
            "ListObjectVersions" => self.also("ListBucketVersions", bucket),
            "ListMultipartUploads" => self.also("ListBucketMultipartUploads", bucket),
            "GetBucketEncryption" => self.also("GetEncryptionConfiguration", bucket),
            "GetBucketReplication" => self.also("GetReplicationConfiguration", bucket),
            "GetBucketLifecycleConfiguration" => self.also("GetLifecycleConfiguration", bucket),
            "GetBucketPolicy"
            | "GetBucketVersioning"
            | "GetBucketLocation"
            | "GetBucketTagging"
            | "GetBucketPolicyStatus"
            | "PutBucketPolicy"
            | "DeleteBucketPolicy"
            | "CreateBucket"
            | "DeleteBucket" => self.on(bucket),
            _ => None,
        }
    }

    pub(super) fn cloudwatch(&mut self) -> Known {
        match self.call.operation.as_str() {
            "PutMetricData" => {
                let namespace = self.call.text("Namespace").into_iter().map(str::to_owned).collect();
                self.context.insert("cloudwatch:namespace".to_owned(), namespace);
                self.on("*")
            }
            "GetMetricData" | "GetMetricStatistics" | "ListMetrics" | "DescribeAlarmsForMetric" => self.on("*"),
            "PutMetricAlarm" | "PutCompositeAlarm" | "SetAlarmState" => {
                let arn = self.named("AlarmName", "alarm:")?;
                self.on(arn)
            }
            operation => {
                let names = self.call.params.get("AlarmNames").and_then(Value::as_array).cloned().unwrap_or_default();
                let names: Vec<_> = names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                match operation {
                    "DescribeAlarms" if names.is_empty() => self.on(self.arn("alarm:*")),
                    "DescribeAlarms" | "DeleteAlarms" | "EnableAlarmActions" | "DisableAlarmActions" => {
                        names.iter().try_for_each(|name| self.on(self.arn(&format!("alarm:{name}"))))
                    }
                    "DescribeAlarmHistory" => {
                        let arn = self.named("AlarmName", "alarm:").unwrap_or_else(|| self.arn("alarm:*"));
                        self.on(arn)
                    }
                    _ => None,
                }
            }
        }
    }

    pub(super) fn logs(&mut self) -> Known {
        let group = self.call.text("logGroupName");
        let resource = match (group, self.call.text("logStreamName")) {
            (Some(group), Some(stream)) => self.arn(&format!("log-group:{group}:log-stream:{stream}")),
            (Some(group), None) => self.arn(&format!("log-group:{group}:*")),
            (None, _) => self.arn("log-group:*"),
        };
        self.on(resource)
    }
}
