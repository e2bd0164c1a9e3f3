//! Writes the seed corpus: what clients send.

use std::fs;
use std::path::Path;

const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20240501/us-east-1/sqs/aws4_request, SignedHeaders=host;x-amz-date, \
                      Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";

fn main() -> std::io::Result<()> {
    let json = |action: &str, body: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: localhost:4566\r\nX-Amz-Target: AmazonSQS.{action}\r\nAuthorization: {SIGNED}\r\n\
             X-Amz-Date: 20240501T120000Z\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let form = "Action=GetQueueUrl&QueueName=orders&Version=2012-11-05";
    let chunked = "POST /000000000000/q HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1c\r\nAction=GetQueueUrl&QueueName=\r\n0\r\n\r\n";
    let requests = [
        json("ListQueues", "{}"),
        json("GetQueueUrl", r#"{"QueueName":"orders","Unknown":[1,{"a":null}]}"#),
        format!("{}{}", json("ListQueues", "{}"), json("Nothing", "")),
        format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{form}", form.len()),
        format!("GET /?{form} HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"),
        chunked.to_owned(),
        "OPTIONS / HTTP/1.1\r\nHost: h\r\nOrigin: http://page\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\na=b".to_owned(),
    ];
    write("requests", requests.iter().map(|request| request.as_bytes().to_vec()))?;
    let forms = [
        (
            17,
            "QueueUrl=u&MessageBody=a+b%26c&DelaySeconds=5&MessageAttribute.1.Name=n&MessageAttribute.1.Value.DataType=Number&MessageAttribute.1.Value.StringValue=7",
        ),
        (
            18,
            "SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.MessageBody=b&SendMessageBatchRequestEntry.2.Id=c",
        ),
        (4, "QueueName=q&Attribute.1.Name=FifoQueue&Attribute.1.Value=true&Tag.1.Key=k&Tag.1.Value=v"),
        (8, "AttributeName=All"),
        (15, "AttributeName.1=All&AttributeName.10=b&AttributeName.2=c&WaitTimeSeconds=20"),
    ];
    write("form", forms.iter().map(|(action, form)| [&[*action][..], form.as_bytes()].concat()))?;
    let url = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20240501%2Fus-east-1%2Fsqs%2Faws4_request&X-Amz-Date=20240501T120000Z&X-Amz-Expires=600&X-Amz-SignedHeaders=host&X-Amz-Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    let signatures = [format!("{SIGNED}\n20240501T120000Z\na=%20b&c"), format!("\n\n{url}&Action=ListQueues")];
    write("signature", signatures.iter().map(|signature| signature.as_bytes().to_vec()))?;
    let policies = [
        r#"{"Version":"2012-10-17","Id":"p","Statement":[{"Sid":"s","Effect":"Allow","Principal":{"AWS":["000000000000","arn:aws:iam::111122223333:root"]},"Action":["SQS:SendMessage","sqs:Receive*"],"Resource":"arn:aws:sqs:*:000000000000:ord?rs","Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:*:*"},"IpAddress":{"aws:SourceIp":["10.0.0.0/8","::1"]}}}]}"#,
        r#"{"Statement":{"Effect":"Deny","NotPrincipal":{"Service":"sns.amazonaws.com"},"NotAction":"sqs:*","NotResource":"*","Condition":{"ForAnyValue:StringLikeIfExists":{"k":"v*"},"DateLessThan":{"aws:CurrentTime":"2024-05-01"},"Bool":{"aws:SecureTransport":"false"},"NumericLessThan":{"n":1},"Null":{"x":"true"}}}}"#,
    ];
    write("policy", policies.iter().map(|policy| policy.as_bytes().to_vec()))
}

fn write(target: &str, inputs: impl Iterator<Item = Vec<u8>>) -> std::io::Result<()> {
    let folder = Path::new("corpus").join(target);
    fs::create_dir_all(&folder)?;
    for (at, input) in inputs.enumerate() {
        fs::write(folder.join(format!("{at:02}")), input)?;
    }
    Ok(())
}
