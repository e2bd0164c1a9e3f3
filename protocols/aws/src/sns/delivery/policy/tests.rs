use super::retries::Backoff;
use super::*;

const fn retries(count: u32, phases: [u32; 3], delays_s: (u32, u32), backoff: Backoff) -> Retries {
    Retries {
        delay_min_s: delays_s.0,
        delay_max_s: delays_s.1,
        count,
        no_delay_count: phases[0],
        delay_min_count: phases[1],
        delay_max_count: phases[2],
        backoff,
    }
}

fn delays_s(retries: &Retries) -> Vec<f64> {
    (1..).map_while(|retry| retries.delay_ms(retry)).map(|ms| ms as f64 / 1000.0).collect()
}

#[test]
fn there_are_four_phases() {
    let all = retries(10, [2, 2, 2], (10, 40), Backoff::Linear);
    assert_eq!(delays_s(&all), [0.0, 0.0, 10.0, 10.0, 10.0, 20.0, 30.0, 40.0, 40.0, 40.0]);
    assert_eq!(all.delay_ms(0), None);
    assert_eq!(all.delay_ms(u32::MAX), None);
    assert_eq!(all.total_s(), 200);
    assert_eq!(delays_s(&Retries::WEBHOOK), [20.0, 20.0, 20.0]);
    assert!(delays_s(&retries(0, [0, 0, 0], (1, 1), Backoff::Linear)).is_empty());
}

#[test]
fn what_is_not_set_is_as_documented() {
    let managed = Retries::MANAGED;
    assert_eq!(delays_s(&managed).len(), 100_015);
    assert_eq!(delays_s(&managed)[..6], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    assert_eq!(delays_s(&managed)[14..17], [20.0, 20.0, 20.0]);
    assert_eq!(managed.total_s() / (24 * 60 * 60), 23);
    let for_people = delays_s(&Retries::FOR_PEOPLE);
    assert_eq!((for_people.len(), for_people[0], for_people[2], for_people[11]), (50, 10.0, 10.0, 600.0));
    assert_eq!(Retries::FOR_PEOPLE.total_s() / 3600, 6);
}

#[test]
fn delays_grow_from_the_shortest_to_the_longest_by_their_function() {
    for backoff in [Backoff::Linear, Backoff::Arithmetic, Backoff::Geometric, Backoff::Exponential] {
        let delays = delays_s(&retries(10, [0; 3], (2, 60), backoff));
        assert_eq!((delays[0], delays[9]), (2.0, 60.0), "{backoff:?}");
        assert!(delays.is_sorted(), "{backoff:?}: {delays:?}");
    }
    let middle = |backoff| delays_s(&retries(10, [0; 3], (2, 60), backoff))[5];
    assert!(middle(Backoff::Linear) > middle(Backoff::Arithmetic));
    assert!(middle(Backoff::Arithmetic) > middle(Backoff::Geometric));
    assert!(middle(Backoff::Geometric) > middle(Backoff::Exponential));
}

#[test]
fn what_failed_together_is_not_tried_again_together() {
    let jittered: Vec<_> = (0..5000).map(|any| Retries::WEBHOOK.jittered_ms(1, any).unwrap()).collect();
    assert_eq!((jittered.iter().min(), jittered.iter().max()), (Some(&18_000), Some(&20_000)));
    assert_eq!(retries(1, [1, 0, 0], (20, 20), Backoff::Linear).jittered_ms(1, 7), Some(0));
    assert_eq!(Retries::WEBHOOK.jittered_ms(4, 7), None);
}

fn topic(text: &str) -> TopicPolicy {
    TopicPolicy::parse(text).unwrap()
}

fn own(text: &str) -> SubscriptionPolicy {
    SubscriptionPolicy::parse(text).unwrap()
}

#[test]
fn a_subscription_goes_before_its_topic_unless_that_says_otherwise() {
    let retry = r#"{"minDelayTarget":1,"maxDelayTarget":2,"numRetries":5,"backoffFunction":"geometric"}"#;
    let of_topic = topic(&format!(
        r#"{{"http":{{"defaultHealthyRetryPolicy":{retry},"defaultThrottlePolicy":{{"maxReceivesPerSecond":7}},"defaultRequestPolicy":{{"headerContentType":"application/json"}}}}}}"#
    ));
    let of_own =
        own(r#"{"healthyRetryPolicy":{"minDelayTarget":3,"maxDelayTarget":3,"numRetries":1},"throttlePolicy":null}"#);
    assert_eq!(Policy::of_webhook(None, None), Policy::of(Means::Http));
    let policy = Policy::of_webhook(Some(&of_topic), None);
    assert_eq!(policy.retries, retries(5, [0; 3], (1, 2), Backoff::Geometric));
    assert_eq!((policy.receives_per_second_max, policy.content_type.as_deref()), (Some(7), Some("application/json")));
    let policy = Policy::of_webhook(Some(&of_topic), Some(&of_own));
    assert_eq!(policy.retries, retries(1, [0; 3], (3, 3), Backoff::Linear));
    assert_eq!(policy.receives_per_second_max, Some(7), "what it does not set is the topic's");
    let strict =
        topic(&format!(r#"{{"http":{{"defaultHealthyRetryPolicy":{retry},"disableSubscriptionOverrides":true}}}}"#));
    assert_eq!(Policy::of_webhook(Some(&strict), Some(&of_own)).retries.count, 5);
    assert!(effective_for_subscription(Some(&strict), Some(&of_own)).contains(r#""numRetries":5"#));
}

#[test]
fn what_holds_is_told_whole() {
    let default = r#"{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":20,"maxDelayTarget":20,"numRetries":3,"numMaxDelayRetries":0,"numNoDelayRetries":0,"numMinDelayRetries":0,"backoffFunction":"linear"},"disableSubscriptionOverrides":false,"defaultRequestPolicy":{"headerContentType":"text/plain; charset=UTF-8"}}}"#;
    assert_eq!(effective_for_topic(None), default);
    assert_eq!(effective_for_topic(Some(&topic("{}"))), default);
    let default = r#"{"healthyRetryPolicy":{"minDelayTarget":20,"maxDelayTarget":20,"numRetries":3,"numMaxDelayRetries":0,"numNoDelayRetries":0,"numMinDelayRetries":0,"backoffFunction":"linear"},"sicklyRetryPolicy":null,"throttlePolicy":null,"requestPolicy":{"headerContentType":"text/plain; charset=UTF-8"},"guaranteed":false}"#;
    assert_eq!(effective_for_subscription(None, None), default);
    let set = own(r#"{"throttlePolicy":{"maxReceivesPerSecond":3}}"#);
    assert!(effective_for_subscription(None, Some(&set)).contains(r#""throttlePolicy":{"maxReceivesPerSecond":3}"#));
}

#[test]
fn what_is_no_policy_is_refused_with_the_reason() {
    let error = |text: &str| SubscriptionPolicy::parse(text).unwrap_err().to_string();
    let retry = |min: i64, max: i64, count: i64, more: &str| {
        error(&format!(
            r#"{{"healthyRetryPolicy":{{"minDelayTarget":{min},"maxDelayTarget":{max},"numRetries":{count}{more}}}}}"#
        ))
    };
    assert_eq!(error("{"), "failed to parse JSON");
    assert_eq!(error("[]").as_str(), "failed to parse JSON");
    assert_eq!(error(r#"{"http":{}}"#), "unexpected JSON member: http");
    assert_eq!(
        error(r#"{"healthyRetryPolicy":{"maxDelayTarget":2,"numRetries":5}}"#),
        "healthyRetryPolicy.minDelayTarget must be specified"
    );
    assert_eq!(retry(0, 1, 1, ""), "healthyRetryPolicy.minDelayTarget must be greater than or equal to 1");
    assert_eq!(retry(1, 3601, 1, ""), "healthyRetryPolicy.maxDelayTarget must be less than or equal to 3600");
    assert_eq!(retry(2, 1, 1, ""), "healthyRetryPolicy.maxDelayTarget must be greater than or equal to minDelayTarget");
    assert_eq!(retry(1, 1, 101, ""), "healthyRetryPolicy.numRetries must be less than or equal to 100");
    assert_eq!(retry(1, 1, -1, ""), "healthyRetryPolicy.numRetries must be greater than or equal to 0");
    assert!(retry(1, 1, 1, r#","numNoDelayRetries":2"#).contains("must be greater than or equal to total of"));
    assert!(retry(1, 1, i64::MAX, "").contains("less than or equal to 100"));
    assert!(retry(1, 1, 1, r#","backoffFunction":"cubic""#).contains("backoffFunction must be one of"));
    assert_eq!(
        retry(1800, 3600, 5, ""),
        "healthyRetryPolicy: Total policy retry time cannot be greater than 3600 seconds"
    );
    assert!(error(r#"{"throttlePolicy":{"maxReceivesPerSecond":0}}"#).contains("greater than or equal to 1"));
    assert!(error(r#"{"requestPolicy":{"headerContentType":"image/png"}}"#).contains("headerContentType"));
    assert!(
        error(r#"{"requestPolicy":{"headerContentType":"text/plain; charset=x\r\ny: z"}}"#)
            .contains("headerContentType")
    );
    let of_topic = TopicPolicy::parse(
        r#"{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":1,"maxDelayTarget":3600,"numRetries":2,"numMaxDelayRetries":2}}}"#,
    );
    assert_eq!(
        of_topic.unwrap_err().to_string(),
        "http.defaultHealthyRetryPolicy: Total policy retry time cannot be greater than 3600 seconds"
    );
    assert_eq!(SubscriptionPolicy::parse(""), Ok(SubscriptionPolicy::default()));
    own(r#"{"requestPolicy":{"headerContentType":"application/json; charset=UTF-8"}}"#);
}
