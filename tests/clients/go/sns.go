package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"
)

// snsCases are the others of the URLs http://...
var snsCases = []testCase{
	{"sns_notifications_and_raw_messages", false, snsMessages},
	{"sns_batches", false, snsBatches},
	{"sns_order_and_deduplication", false, snsOrder},
	{"sns_a_webhook", false, snsWebhook},
	{"sns_errors_have_types", false, snsErrors},
	{"sns_many_goroutines", false, snsManyGoroutines},
}

// A topic of one case, and the client that made it.
type snsTopic struct {
	client *sns.Client
	arn    *string
}

func snsWithTopic(endpoint string, attributes map[string]string, body func(snsTopic)) {
	client := sns.NewFromConfig(awsConfig(endpoint))
	name := unique("go")
	if attributes["FifoTopic"] == "true" {
		name += ".fifo"
	}
	made := got(client.CreateTopic(background, &sns.CreateTopicInput{Name: &name, Attributes: attributes}))
	topic := snsTopic{client, made.TopicArn}
	defer func() { got(client.DeleteTopic(background, &sns.DeleteTopicInput{TopicArn: topic.arn})) }()
	body(topic)
}

// subscribe subscribes a queue, by its attributes.
func (topic snsTopic) subscribe(queue sqsQueue, attributes map[string]string) *string {
	arn := queue.attribute("QueueArn")
	return got(topic.client.Subscribe(background, &sns.SubscribeInput{
		TopicArn: topic.arn, Protocol: aws.String("sqs"), Endpoint: &arn, Attributes: attributes,
	})).SubscriptionArn
}

func (topic snsTopic) publish(message string) *sns.PublishOutput {
	return got(topic.client.Publish(background, &sns.PublishInput{TopicArn: topic.arn, Message: &message}))
}

// notification is what SNS makes of a message.
type notification struct {
	Type, MessageId, TopicArn, Subject, Message, Token, SubscribeURL, UnsubscribeURL string
	MessageAttributes                                                                map[string]struct{ Type, Value string }
}

func snsMessages(url string) {
	snsWithTopic(url, nil, func(topic snsTopic) {
		sqsWithQueue(url, nil, func(first sqsQueue) {
			sqsWithQueue(url, nil, func(second sqsQueue) {
				topic.subscribe(first, nil)
				topic.subscribe(second, map[string]string{"RawMessageDelivery": "true"})
				values := map[string]types.MessageAttributeValue{
					"text":  {DataType: aws.String("String"), StringValue: aws.String("grüße")},
					"bytes": {DataType: aws.String("Binary"), BinaryValue: []byte{0, 255}},
				}
				told := got(topic.client.Publish(background, &sns.PublishInput{
					TopicArn: topic.arn, Message: aws.String("höllo"), Subject: aws.String("s"), MessageAttributes: values,
				}))
				var document notification
				must(json.Unmarshal([]byte(*first.receiveAll(1)[0].Body), &document))
				equal([]string{document.MessageId, document.TopicArn, document.Subject, document.Message},
					[]string{*told.MessageId, *topic.arn, "s", "höllo"}, "document")
				equal(document.MessageAttributes["bytes"].Value, "AP8=", "bytes")
				raw := second.receiveAll(1)[0]
				equal(*raw.Body, "höllo", "raw body")
				equal(raw.MessageAttributes["bytes"].BinaryValue, []byte{0, 255}, "raw bytes")
			})
		})
	})
}

func snsBatches(url string) {
	snsWithTopic(url, nil, func(topic snsTopic) {
		sqsWithQueue(url, nil, func(queue sqsQueue) {
			topic.subscribe(queue, map[string]string{"RawMessageDelivery": "true", "FilterPolicy": `{"even":["yes"]}`})
			entries := []types.PublishBatchRequestEntry{}
			for n := range 10 {
				even := map[bool]string{true: "yes", false: "no"}[n%2 == 0]
				entries = append(entries, types.PublishBatchRequestEntry{
					Id: aws.String(fmt.Sprint("e", n)), Message: aws.String(fmt.Sprint("m", n)),
					MessageAttributes: map[string]types.MessageAttributeValue{"even": {DataType: aws.String("String"), StringValue: &even}},
				})
			}
			told := got(topic.client.PublishBatch(background, &sns.PublishBatchInput{TopicArn: topic.arn, PublishBatchRequestEntries: entries}))
			equal(len(told.Successful), 10, "published")
			bodies := sqsBodies(queue.receiveAll(5))
			slices.Sort(bodies)
			equal(bodies, []string{"m0", "m2", "m4", "m6", "m8"}, "bodies")
		})
	})
}

func snsOrder(url string) {
	snsWithTopic(url, map[string]string{"FifoTopic": "true", "ContentBasedDeduplication": "true"}, func(topic snsTopic) {
		sqsWithQueue(url, map[string]string{"FifoQueue": "true"}, func(queue sqsQueue) {
			topic.subscribe(queue, map[string]string{"RawMessageDelivery": "true"})
			numbers := []string{}
			for _, message := range []string{"a", "b", "b", "c"} {
				told := got(topic.client.Publish(background, &sns.PublishInput{
					TopicArn: topic.arn, Message: &message, MessageGroupId: aws.String("g"),
				}))
				numbers = append(numbers, *told.SequenceNumber)
			}
			// LocalStack gives duplicates new numbers.
			equal((numbers[1] == numbers[2] || isCommon()) && slices.IsSorted(numbers), true, fmt.Sprint(numbers))
			bodies := []string{}
			waitUntil("three messages", deadline, func() bool {
				for _, message := range queue.receive(1, 1) {
					bodies = append(bodies, *message.Body)
					queue.delete(message)
				}
				return len(bodies) >= 3
			})
			equal(bodies, []string{"a", "b", "c"}, "bodies")
		})
	})
}

func snsWebhook(url string) {
	posted := make(chan notification, 10)
	listener := got(net.Listen("tcp", "127.0.0.1:0"))
	server := &http.Server{Handler: http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		var document notification
		body, err := io.ReadAll(request.Body)
		if err == nil {
			err = json.Unmarshal(body, &document)
		}
		if err != nil || request.Header.Get("X-Amz-Sns-Message-Type") != document.Type {
			answer.WriteHeader(http.StatusBadRequest)
			return
		}
		posted <- document
	}), ReadHeaderTimeout: deadline}
	go server.Serve(listener)
	defer server.Close()
	snsWithTopic(url, nil, func(topic snsTopic) {
		subscribed := got(topic.client.Subscribe(background, &sns.SubscribeInput{
			TopicArn: topic.arn, Protocol: aws.String("http"), Endpoint: aws.String("http://" + listener.Addr().String() + "/"),
			ReturnSubscriptionArn: true,
		}))
		confirmation := receive(posted, "the confirmation")
		equal(confirmation.Type, "SubscriptionConfirmation", "type")
		confirmed := got(topic.client.ConfirmSubscription(background, &sns.ConfirmSubscriptionInput{
			TopicArn: topic.arn, Token: &confirmation.Token,
		}))
		equal(*confirmed.SubscriptionArn, *subscribed.SubscriptionArn, "subscription")
		told := topic.publish("hello")
		document := receive(posted, "the notification")
		equal([]string{document.MessageId, document.Message}, []string{*told.MessageId, "hello"}, "document")
	})
}

func snsErrors(url string) {
	snsWithTopic(url, nil, func(topic snsTopic) {
		_, err := topic.client.Publish(background, &sns.PublishInput{TopicArn: aws.String(*topic.arn + "x"), Message: aws.String("x")})
		var notFound *types.NotFoundException
		equal(errors.As(err, &notFound), true, fmt.Sprint(err))
		equal(notFound.ErrorMessage(), "Topic does not exist", "text")
		_, err = topic.client.Publish(background, &sns.PublishInput{TopicArn: topic.arn, Message: aws.String("")})
		var invalid *types.InvalidParameterException
		equal(errors.As(err, &invalid), true, fmt.Sprint(err))
		_, err = topic.client.PublishBatch(background, &sns.PublishBatchInput{TopicArn: topic.arn,
			PublishBatchRequestEntries: []types.PublishBatchRequestEntry{
				{Id: aws.String("a"), Message: aws.String("x")}, {Id: aws.String("a"), Message: aws.String("x")},
			}})
		var twice *types.BatchEntryIdsNotDistinctException
		equal(errors.As(err, &twice), true, fmt.Sprint(err))
		var fault smithy.APIError
		equal(errors.As(err, &fault) && fault.ErrorFault() == smithy.FaultClient, true, "fault of the client")
	})
}

func snsManyGoroutines(url string) {
	snsWithTopic(url, nil, func(topic snsTopic) {
		sqsWithQueue(url, nil, func(queue sqsQueue) {
			topic.subscribe(queue, map[string]string{"RawMessageDelivery": "true"})
			var publishers sync.WaitGroup
			for publisher := range 20 {
				publishers.Add(1)
				go func() {
					defer publishers.Done()
					for n := range 10 {
						topic.publish(fmt.Sprint(publisher, ":", n))
					}
				}()
			}
			seen := map[string]bool{}
			waitUntil("every message once", 4*deadline, func() bool {
				for _, message := range queue.receive(10, 1) {
					if seen[*message.Body] {
						fail("%s came twice", *message.Body)
					}
					seen[*message.Body] = true
					queue.delete(message)
				}
				return len(seen) == 200
			})
			publishers.Wait()
		})
	})
}
