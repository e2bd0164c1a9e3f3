package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// sqsCases are those of the URLs http://...
var sqsCases = []testCase{
	{"sqs_messages", false, sqsMessages},
	{"sqs_batches_and_their_failures", false, sqsBatches},
	{"sqs_order_and_deduplication", false, sqsOrder},
	{"sqs_dead_letters_move_back", false, sqsDeadLetters},
	{"sqs_errors_have_types", false, sqsErrors},
	{"sqs_paginators", false, sqsPaginators},
	{"sqs_a_poll_is_cancelled_and_takes_nothing", false, sqsCancelledPoll},
	{"sqs_many_goroutines", false, sqsManyGoroutines},
	{"sqs_survives", true, sqsSurvives},
}

// A queue of one case, and the client that made it. The SDK checks the MD5 of every body that is sent and received.
type sqsQueue struct {
	client *sqs.Client
	url    *string
}

var background = context.Background()

// awsConfig is that of clients that try everything once.
func awsConfig(endpoint string) aws.Config {
	static := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
	})
	return got(config.LoadDefaultConfig(background, config.WithRegion("us-east-1"), config.WithCredentialsProvider(static),
		config.WithBaseEndpoint(endpoint), config.WithRetryMaxAttempts(1)))
}

func sqsClient(endpoint string) *sqs.Client {
	return sqs.NewFromConfig(awsConfig(endpoint))
}

// sqsWithQueue makes a queue, which is deleted in the end.
func sqsWithQueue(endpoint string, attributes map[string]string, body func(sqsQueue)) {
	client := sqsClient(endpoint)
	name := unique("go")
	if attributes["FifoQueue"] == "true" {
		name += ".fifo"
	}
	made := got(client.CreateQueue(background, &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes}))
	queue := sqsQueue{client, made.QueueUrl}
	defer func() { got(client.DeleteQueue(background, &sqs.DeleteQueueInput{QueueUrl: queue.url})) }()
	body(queue)
}

func (queue sqsQueue) send(body string) *sqs.SendMessageOutput {
	return got(queue.client.SendMessage(background, &sqs.SendMessageInput{QueueUrl: queue.url, MessageBody: &body}))
}

// receive is one ReceiveMessage with everything that can be asked for.
func (queue sqsQueue) receive(count, waitSeconds int32, visibilitySeconds ...int32) []types.Message {
	ask := &sqs.ReceiveMessageInput{
		QueueUrl: queue.url, MaxNumberOfMessages: count, WaitTimeSeconds: waitSeconds,
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	}
	if len(visibilitySeconds) > 0 {
		ask.VisibilityTimeout = visibilitySeconds[0]
	}
	return got(queue.client.ReceiveMessage(background, ask)).Messages
}

func (queue sqsQueue) receiveAll(count int) (all []types.Message) {
	waitUntil(fmt.Sprintf("%d messages", count), deadline, func() bool {
		all = append(all, queue.receive(int32(min(10, count-len(all))), 1)...)
		return len(all) >= count
	})
	return all
}

func (queue sqsQueue) delete(message types.Message) {
	got(queue.client.DeleteMessage(background, &sqs.DeleteMessageInput{QueueUrl: queue.url, ReceiptHandle: message.ReceiptHandle}))
}

func (queue sqsQueue) attribute(name types.QueueAttributeName) string {
	told := got(queue.client.GetQueueAttributes(background, &sqs.GetQueueAttributesInput{
		QueueUrl: queue.url, AttributeNames: []types.QueueAttributeName{name},
	}))
	return told.Attributes[string(name)]
}

func sqsBodies(messages []types.Message) []string {
	bodies := []string{}
	for _, message := range messages {
		bodies = append(bodies, *message.Body)
	}
	return bodies
}

func sqsMessages(url string) {
	sqsWithQueue(url, nil, func(queue sqsQueue) {
		values := map[string]types.MessageAttributeValue{
			"text":   {DataType: aws.String("String"), StringValue: aws.String("grüße")},
			"number": {DataType: aws.String("Number.int"), StringValue: aws.String("7")},
			"bytes":  {DataType: aws.String("Binary"), BinaryValue: []byte{0, 255}},
		}
		told := got(queue.client.SendMessage(background, &sqs.SendMessageInput{
			QueueUrl: queue.url, MessageBody: aws.String("höllo"), MessageAttributes: values,
		}))
		messages := queue.receive(10, 5)
		equal(sqsBodies(messages), []string{"höllo"}, "bodies")
		message := messages[0]
		equal(*message.MessageId, *told.MessageId, "message id")
		equal(*message.MD5OfMessageAttributes, *told.MD5OfMessageAttributes, "MD5 of the attributes")
		for name, value := range values {
			given := message.MessageAttributes[name]
			equal(*given.DataType, *value.DataType, name)
			if value.StringValue != nil {
				equal(*given.StringValue, *value.StringValue, name)
			}
			equal(bytes.Equal(given.BinaryValue, value.BinaryValue), true, name)
		}
		equal(message.Attributes["ApproximateReceiveCount"], "1", "receive count")
		got(queue.client.ChangeMessageVisibility(background, &sqs.ChangeMessageVisibilityInput{
			QueueUrl: queue.url, ReceiptHandle: message.ReceiptHandle, VisibilityTimeout: 0,
		}))
		again := queue.receive(1, 5)
		equal(again[0].Attributes["ApproximateReceiveCount"], "2", "receive count")
		queue.delete(again[0])
		equal(queue.attribute(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible), "0", "in flight")
	})
}

func sqsBatches(url string) {
	sqsWithQueue(url, nil, func(queue sqsQueue) {
		entries := []types.SendMessageBatchRequestEntry{}
		for number := range 9 {
			id := strconv.Itoa(number)
			entries = append(entries, types.SendMessageBatchRequestEntry{Id: &id, MessageBody: aws.String("m" + id)})
		}
		entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String("bad"), MessageBody: aws.String("a\x01")})
		told := got(queue.client.SendMessageBatch(background, &sqs.SendMessageBatchInput{QueueUrl: queue.url, Entries: entries}))
		equal(len(told.Successful), 9, "successful entries")
		equal(len(told.Failed), 1, "failed entries")
		equal(*told.Failed[0].Id, "bad", "id of what failed")
		equal(*told.Failed[0].Code, "InvalidMessageContents", "code of what failed")

		messages := queue.receiveAll(9)
		handles := []types.DeleteMessageBatchRequestEntry{}
		for number, message := range messages {
			handles = append(handles, types.DeleteMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(number)), ReceiptHandle: message.ReceiptHandle,
			})
		}
		deleted := got(queue.client.DeleteMessageBatch(background, &sqs.DeleteMessageBatchInput{QueueUrl: queue.url, Entries: handles}))
		equal(len(deleted.Successful), 9, "deleted")
		equal(queue.attribute(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible), "0", "in flight")
	})
}

func sqsOrder(url string) {
	attributes := map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "true"}
	sqsWithQueue(url, attributes, func(queue sqsQueue) {
		send := func(body, group string) *sqs.SendMessageOutput {
			return got(queue.client.SendMessage(background, &sqs.SendMessageInput{
				QueueUrl: queue.url, MessageBody: &body, MessageGroupId: &group,
			}))
		}
		first := send("1", "a")
		equal(*send("1", "a").MessageId, *first.MessageId, "a duplicate's id")
		last := send("2", "a")
		equal(*first.SequenceNumber < *last.SequenceNumber, true, "sequence numbers rise")
		send("3", "b")
		one := queue.receive(1, 5)
		equal(sqsBodies(one), []string{"1"}, "the first of group a")
		equal(sqsBodies(queue.receive(10, 0)), []string{"3"}, "group a is locked")
		queue.delete(one[0])
		equal(sqsBodies(queue.receive(10, 5)), []string{"2"}, "the rest of group a")
	})
}

func sqsDeadLetters(url string) {
	sqsWithQueue(url, nil, func(dead sqsQueue) {
		arn := dead.attribute(types.QueueAttributeNameQueueArn)
		policy := fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":1}`, arn)
		sqsWithQueue(url, map[string]string{"RedrivePolicy": policy}, func(queue sqsQueue) {
			queue.send("poison")
			handle := *queue.receive(1, 5)[0].ReceiptHandle
			got(queue.client.ChangeMessageVisibility(background, &sqs.ChangeMessageVisibilityInput{
				QueueUrl: queue.url, ReceiptHandle: &handle, VisibilityTimeout: 0,
			}))
			equal(len(queue.receive(1, 1)), 0, "messages after the last receive")
			waitUntil("the dead letter", deadline, func() bool { return dead.attribute("ApproximateNumberOfMessages") == "1" })
			got(queue.client.StartMessageMoveTask(background, &sqs.StartMessageMoveTaskInput{SourceArn: &arn}))
			waitUntil("the end of the move", deadline, func() bool {
				told := got(queue.client.ListMessageMoveTasks(background, &sqs.ListMessageMoveTasksInput{SourceArn: &arn}))
				return *told.Results[0].Status == "COMPLETED"
			})
			equal(sqsBodies(queue.receive(1, 5)), []string{"poison"}, "what was moved back")
		})
	})
}

func sqsErrors(url string) {
	client := sqsClient(url)
	_, err := client.GetQueueUrl(background, &sqs.GetQueueUrlInput{QueueName: aws.String(unique("nowhere"))})
	var missing *types.QueueDoesNotExist
	equal(errors.As(err, &missing), true, "QueueDoesNotExist")
	sqsWithQueue(url, nil, func(queue sqsQueue) {
		_, err := queue.client.DeleteMessage(background, &sqs.DeleteMessageInput{QueueUrl: queue.url, ReceiptHandle: aws.String("x")})
		var invalid *types.ReceiptHandleIsInvalid
		equal(errors.As(err, &invalid), true, "ReceiptHandleIsInvalid")
		_, err = queue.client.SendMessageBatch(background, &sqs.SendMessageBatchInput{
			QueueUrl: queue.url, Entries: []types.SendMessageBatchRequestEntry{},
		})
		var empty *types.EmptyBatchRequest
		equal(errors.As(err, &empty), true, "EmptyBatchRequest")
		_, err = queue.client.ReceiveMessage(background, &sqs.ReceiveMessageInput{QueueUrl: queue.url, MaxNumberOfMessages: 11})
		var told smithy.APIError
		equal(errors.As(err, &told), true, "an error of the service")
		equal(strings.TrimSuffix(told.ErrorCode(), "Exception"), "InvalidParameterValue", "code")
		equal(told.ErrorFault(), smithy.FaultClient, "fault, by x-amzn-query-error")
	})
}

func sqsPaginators(url string) {
	client, prefix := sqsClient(url), unique("go-pages")
	made := []string{}
	for number := range 5 {
		name := fmt.Sprintf("%s-%d", prefix, number)
		made = append(made, *got(client.CreateQueue(background, &sqs.CreateQueueInput{QueueName: &name})).QueueUrl)
	}
	found := []string{}
	pages := sqs.NewListQueuesPaginator(client, &sqs.ListQueuesInput{QueueNamePrefix: &prefix, MaxResults: aws.Int32(2)})
	for pages.HasMorePages() {
		found = append(found, got(pages.NextPage(background)).QueueUrls...)
	}
	slices.Sort(found)
	equal(found, made, "queues")
	for _, queue := range made {
		got(client.DeleteQueue(background, &sqs.DeleteQueueInput{QueueUrl: &queue}))
	}
}

// A client that goes away while it waits takes no message with it.
func sqsCancelledPoll(url string) {
	sqsWithQueue(url, nil, func(queue sqsQueue) {
		for range 5 {
			ends, cancel := context.WithTimeout(background, 200*time.Millisecond)
			_, err := queue.client.ReceiveMessage(ends, &sqs.ReceiveMessageInput{QueueUrl: queue.url, WaitTimeSeconds: 20})
			cancel()
			equal(err != nil, true, "a cancelled poll")
		}
		if !isCommon() {
			// The broker may hear of the last one a little later.
			time.Sleep(200 * time.Millisecond)
			queue.send("still here")
			message := queue.receive(1, 5)[0]
			equal(message.Attributes["ApproximateReceiveCount"], "1", "nobody had it before")
		}
	})
}

func sqsManyGoroutines(url string) {
	const senders, of_each = 16, 50
	sqsWithQueue(url, nil, func(queue sqsQueue) {
		failures := make(chan error, 2*senders)
		var seen sync.Map
		var received sync.WaitGroup
		received.Add(senders * of_each)
		done, stop := context.WithCancel(background)
		var workers sync.WaitGroup
		for sender := range senders {
			workers.Add(2)
			go func() {
				defer workers.Done()
				for number := range of_each {
					body := fmt.Sprintf("%d:%d", sender, number)
					if _, err := queue.client.SendMessage(background, &sqs.SendMessageInput{QueueUrl: queue.url, MessageBody: &body}); err != nil {
						failures <- err
						return
					}
				}
			}()
			go func() {
				defer workers.Done()
				for done.Err() == nil {
					answer, err := queue.client.ReceiveMessage(done, &sqs.ReceiveMessageInput{
						QueueUrl: queue.url, MaxNumberOfMessages: 10, WaitTimeSeconds: 20,
					})
					if done.Err() != nil {
						return
					}
					if err != nil {
						failures <- err
						return
					}
					for _, message := range answer.Messages {
						if _, twice := seen.LoadOrStore(*message.Body, true); twice {
							failures <- fmt.Errorf("%s came twice", *message.Body)
							return
						}
						_, err := queue.client.DeleteMessage(background, &sqs.DeleteMessageInput{
							QueueUrl: queue.url, ReceiptHandle: message.ReceiptHandle,
						})
						if err != nil {
							failures <- err
							return
						}
						received.Done()
					}
				}
			}()
		}
		all := make(chan bool)
		go func() { received.Wait(); close(all) }()
		select {
		case err := <-failures:
			stop()
			must(err)
		case <-all:
		case <-time.After(60 * time.Second):
			stop()
			fail("not all messages within 60 s")
		}
		stop()
		workers.Wait()
	})
}

func sqsSurvives(url string) {
	sqsWithQueue(url, nil, func(queue sqsQueue) {
		for number := range 20 {
			queue.send(strconv.Itoa(number))
		}
		queue.delete(queue.receive(1, 5)[0])
		restartBroker("kill")
		waitUntil("the broker is back", deadline, func() bool {
			_, err := queue.client.ListQueues(background, &sqs.ListQueuesInput{QueueNamePrefix: aws.String("x")})
			return err == nil
		})
		equal(len(queue.receiveAll(19)), 19, "messages after the crash")
		equal(len(queue.receive(10, 0)), 0, "further messages")
	})
}
