//! What Prometheus is told. Where RabbitMQ has a metric of the same meaning, it has RabbitMQ's name, so that its dashboards work.

mod deliveries;
mod queues;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use gantry_aws::DeliveryCount;
use gantry_broker::{QueueCount, Totals};
use gantry_storage::Usage;
use gantry_websocket::Stats as WebSocketStats;
use parking_lot::{Mutex, RwLock};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::connections::Connections;
use crate::process::{self, Started};

/// The broker's numbers at one moment. Totals are since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Channels and sessions that are open.
    pub(crate) channels: u64,
    /// Consumers and subscriptions.
    pub(crate) consumers: u64,
    /// Queues.
    pub(crate) queues: u64,
    /// Messages that wait for a consumer.
    pub(crate) messages_ready: u64,
    /// Messages that are with a consumer.
    pub(crate) messages_unacked: u64,
    /// Bytes of message bodies in memory.
    pub(crate) message_bytes_resident: u64,
    /// Messages that publishers have sent.
    pub(crate) published_total: u64,
    /// Messages that publishers have been promised.
    pub(crate) confirmed_total: u64,
    /// Messages that have been handed to consumers, again and again included.
    pub(crate) delivered_total: u64,
    /// Messages that consumers are done with.
    pub(crate) acknowledged_total: u64,
    /// Messages that came to direct queues when their connections had no room.
    pub(crate) dropped_total: u64,
    /// Deduplication ids that ordered queues remember.
    pub(crate) remembered: u64,
    /// Retained messages.
    pub(crate) retained: u64,
    /// Bytes of memory that those take.
    pub(crate) retained_bytes: u64,
    /// Clients of MQTT that are connected.
    pub(crate) mqtt_clients: u64,
    /// Messages that were not sent to a client of MQTT, because they are larger than it takes.
    pub(crate) mqtt_too_large_total: u64,
    /// Clients of STOMP that are connected.
    pub(crate) stomp_clients: u64,
    /// ERROR frames to clients of STOMP.
    pub(crate) stomp_errors_total: u64,
    /// Long polls of AWS that wait.
    pub(crate) aws_polls: u64,
    /// Requests of AWS.
    pub(crate) aws_requests_total: u64,
    /// Requests of AWS that were answered by an error.
    pub(crate) aws_errors_total: u64,
    /// Messages of SNS that their endpoints have.
    pub(crate) sns_delivered_total: u64,
    /// Deliveries of SNS that failed and are tried again.
    pub(crate) sns_retried_total: u64,
    /// Messages of SNS that could not be delivered and went to queues for dead letters.
    pub(crate) sns_dead_lettered_total: u64,
    /// Messages of SNS that could not be delivered and are gone.
    pub(crate) sns_dropped_total: u64,
    /// The journal.
    pub(crate) journal: Usage,
}

/// Where the protocols count.
pub(crate) struct Counting {
    pub(crate) amqp091: Arc<gantry_amqp091::Stats>,
    pub(crate) mqtt: Arc<gantry_mqtt::Stats>,
    pub(crate) stomp: Arc<gantry_stomp::Stats>,
    pub(crate) aws: Arc<gantry_aws::Stats>,
}

impl Snapshot {
    /// The numbers of the broker and of its protocols.
    pub(crate) fn of(totals: &Totals, Counting { amqp091, mqtt, stomp, aws }: &Counting) -> Self {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let messages = &totals.messages;
        Self {
            channels: load(&amqp091.channels),
            consumers: messages.consumers as u64,
            queues: totals.queues as u64,
            messages_ready: messages.ready as u64,
            messages_unacked: messages.unacked as u64,
            message_bytes_resident: totals.resident_bytes as u64,
            published_total: load(&amqp091.published)
                + load(&mqtt.published)
                + load(&stomp.published)
                + load(&aws.published),
            confirmed_total: load(&amqp091.confirmed)
                + load(&mqtt.confirmed)
                + load(&stomp.confirmed)
                + load(&aws.confirmed),
            delivered_total: messages.counters.delivered + messages.counters.delivered_no_ack,
            acknowledged_total: messages.counters.accepted,
            dropped_total: totals.dropped,
            remembered: totals.remembered as u64,
            retained: totals.retained as u64,
            retained_bytes: totals.retained_bytes as u64,
            mqtt_clients: load(&mqtt.clients),
            mqtt_too_large_total: load(&mqtt.dropped_too_large),
            stomp_clients: load(&stomp.clients),
            stomp_errors_total: load(&stomp.errors),
            aws_polls: load(&aws.polls),
            aws_requests_total: load(&aws.requests),
            aws_errors_total: load(&aws.errors),
            sns_delivered_total: load(&aws.deliveries.delivered),
            sns_retried_total: load(&aws.deliveries.retried),
            sns_dead_lettered_total: load(&aws.deliveries.dead_lettered),
            sns_dropped_total: load(&aws.deliveries.dropped),
            journal: totals.journal,
        }
    }
}

/// Takes a [`Snapshot`]. Called for each scrape; it must not block.
pub(crate) type Source = Box<dyn Fn() -> Snapshot + Send + Sync>;

/// Counts what is in each queue. Called for each scrape of them; it must not block.
pub(crate) type QueueSource = Box<dyn Fn() -> Vec<QueueCount> + Send + Sync>;

/// Counts what became of the deliveries of each subscription. Called for each scrape of them; it must not block.
pub(crate) type DeliverySource = Box<dyn Fn() -> Vec<DeliveryCount> + Send + Sync>;

/// Where the broker's numbers come from.
pub(crate) struct Sources {
    pub(crate) totals: Source,
    pub(crate) queues: QueueSource,
    pub(crate) deliveries: DeliverySource,
}

/// Everything that is measured. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Measured>);

struct Measured {
    started: Started,
    connections: Connections,
    websocket: Arc<WebSocketStats>,
    /// There is none until the broker has recovered.
    broker: RwLock<Option<Sources>>,
    delivered: Mutex<Rising>,
    acknowledged: Mutex<Rising>,
}

/// A count that is a sum over the queues there are, and so falls when one is deleted. Prometheus takes a fall for a restart and
/// everything that is left for new; so what it is told only rises. What a queue that is gone had counted since the scrape before
/// is not told.
#[derive(Default)]
struct Rising {
    last: u64,
    told: u64,
}

impl Rising {
    fn advance(&mut self, now: u64) -> u64 {
        self.told += now.saturating_sub(self.last);
        self.last = now;
        self.told
    }
}

impl Metrics {
    /// Measures the process and these connections.
    pub(crate) fn new(started: Started, connections: Connections, websocket: Arc<WebSocketStats>) -> Self {
        Self(Arc::new(Measured {
            started,
            connections,
            websocket,
            broker: RwLock::new(None),
            delivered: Mutex::default(),
            acknowledged: Mutex::default(),
        }))
    }

    /// Measures the broker too, from now on.
    pub(crate) fn set_broker(&self, sources: Sources) {
        *self.0.broker.write() = Some(sources);
    }

    fn queue_counts(&self) -> Vec<QueueCount> {
        self.0.broker.read().as_ref().map(|sources| (sources.queues)()).unwrap_or_default()
    }

    fn delivery_counts(&self) -> Vec<DeliveryCount> {
        self.0.broker.read().as_ref().map(|sources| (sources.deliveries)()).unwrap_or_default()
    }

    /// Everything in the text form of OpenMetrics; `per_queue`: with what there is of each queue and of each subscription.
    pub(crate) fn text(&self, per_queue: bool) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        if per_queue {
            registry.register_collector(Box::new(queues::Queues(self.clone())));
            registry.register_collector(Box::new(deliveries::Deliveries(self.clone())));
        }
        let mut text = String::new();
        text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Collector for Metrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut encode = Encode(encoder);
        let Measured { started, connections, websocket, broker, delivered, acknowledged } = &*self.0;
        encode.process(*started)?;
        encode.connections(connections)?;
        encode.websocket(websocket)?;
        let snapshot = broker.read().as_ref().map(|sources| (sources.totals)());
        match snapshot {
            None => Ok(()),
            Some(mut snapshot) => {
                snapshot.delivered_total = delivered.lock().advance(snapshot.delivered_total);
                snapshot.acknowledged_total = acknowledged.lock().advance(snapshot.acknowledged_total);
                encode.broker(&snapshot)?;
                encode.journal(&snapshot.journal)
            }
        }
    }
}

struct Encode<'a>(DescriptorEncoder<'a>);

impl Encode<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        // No gauge here comes near to 2^63.
        self.put(name, help, &ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    /// The name gets `_total` behind it.
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.put(name, help, &ConstCounter::new(value))
    }

    fn put(&mut self, name: &str, help: &str, metric: &impl EncodeMetric) -> fmt::Result {
        metric.encode(self.0.encode_descriptor(name, help, None, metric.metric_type())?)
    }

    fn process(&mut self, started: Started) -> fmt::Result {
        self.put("gantry_uptime_seconds", "Time since the start", &ConstGauge::new(started.uptime_s()))?;
        if let Some(bytes) = process::resident_bytes() {
            self.gauge("rabbitmq_process_resident_memory_bytes", "Memory of the process that is resident", bytes)?;
        }
        if let Some(files) = process::open_files() {
            self.gauge("rabbitmq_process_open_fds", "Files that the process has open", files)?;
        }
        if let Some(files) = process::open_files_max() {
            self.gauge("rabbitmq_process_max_fds", "Files that the process may have open", files)?;
        }
        Ok(())
    }

    fn connections(&mut self, connections: &Connections) -> fmt::Result {
        let open = connections.open();
        // Read after what is open, so that closed does not come out below zero.
        let opened = connections.opened();
        self.gauge("rabbitmq_connections", "Client connections that are open", open)?;
        self.counter("rabbitmq_connections_opened", "Client connections since the start", opened)?;
        self.counter("rabbitmq_connections_closed", "Client connections that have ended", opened.saturating_sub(open))?;
        self.counter("gantry_connections_refused", "Client connections over the limit", connections.refused())
    }

    fn websocket(&mut self, stats: &WebSocketStats) -> fmt::Result {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [upgraded, refused, failed] = [&stats.upgraded, &stats.refused, &stats.failed].map(load);
        self.counter("gantry_websocket_upgrades", "WebSocket requests that became connections", upgraded)?;
        self.counter("gantry_websocket_upgrades_refused", "WebSocket requests that were refused", refused)?;
        self.counter("gantry_websocket_failures", "WebSocket connections closed for a client's error", failed)
    }

    fn broker(&mut self, now: &Snapshot) -> fmt::Result {
        let messages = now.messages_ready + now.messages_unacked;
        self.gauge("rabbitmq_channels", "Channels that are open", now.channels)?;
        self.gauge("rabbitmq_consumers", "Consumers", now.consumers)?;
        self.gauge("rabbitmq_queues", "Queues", now.queues)?;
        self.gauge("rabbitmq_queue_messages_ready", "Messages that wait for a consumer", now.messages_ready)?;
        self.gauge("rabbitmq_queue_messages_unacked", "Messages that are with a consumer", now.messages_unacked)?;
        self.gauge("rabbitmq_queue_messages", "Messages that are ready or unacked", messages)?;
        self.gauge("gantry_mqtt_clients", "Clients of MQTT that are connected", now.mqtt_clients)?;
        self.counter(
            "gantry_mqtt_dropped_too_large",
            "Messages that were larger than their MQTT client takes",
            now.mqtt_too_large_total,
        )?;
        self.gauge("gantry_stomp_clients", "Clients of STOMP that are connected", now.stomp_clients)?;
        self.counter("gantry_stomp_errors", "ERROR frames to clients of STOMP", now.stomp_errors_total)?;
        self.gauge("gantry_aws_polls", "Long polls of AWS clients that wait", now.aws_polls)?;
        self.counter("gantry_aws_requests", "Requests of AWS clients", now.aws_requests_total)?;
        self.counter("gantry_aws_errors", "Requests of AWS clients that failed", now.aws_errors_total)?;
        self.counter("gantry_sns_delivered", "Messages of SNS that their endpoints have", now.sns_delivered_total)?;
        self.counter("gantry_sns_retried", "Deliveries of SNS that failed and are tried again", now.sns_retried_total)?;
        let dead_lettered = now.sns_dead_lettered_total;
        self.counter("gantry_sns_dead_lettered", "Messages of SNS that went to dead-letter queues", dead_lettered)?;
        self.counter("gantry_sns_dropped", "Messages of SNS that could not be delivered", now.sns_dropped_total)?;
        let resident = now.message_bytes_resident;
        self.gauge("gantry_message_resident_bytes", "Message bodies in memory", resident)?;
        self.counter("rabbitmq_global_messages_received", "Messages that publishers have sent", now.published_total)?;
        self.counter("rabbitmq_global_messages_confirmed", "Messages confirmed to publishers", now.confirmed_total)?;
        self.counter("rabbitmq_global_messages_delivered", "Messages handed to consumers", now.delivered_total)?;
        self.counter(
            "rabbitmq_global_messages_acknowledged",
            "Messages that consumers have acknowledged",
            now.acknowledged_total,
        )?;
        let dropped = now.dropped_total;
        self.counter(
            "gantry_direct_dropped",
            "Messages that found no room in a connection that was not to wait",
            dropped,
        )?;
        self.gauge("gantry_deduplication_entries", "Deduplication ids that are remembered", now.remembered)?;
        self.gauge("gantry_retained_messages", "Retained messages", now.retained)?;
        self.gauge("gantry_retained_bytes", "Memory that retained messages take", now.retained_bytes)
    }

    fn journal(&mut self, usage: &Usage) -> fmt::Result {
        self.gauge("gantry_journal_segments", "Segments of the journal in use", usage.segments)?;
        self.gauge("gantry_journal_disk_bytes", "Bytes of all files of the journal", usage.disk_bytes)?;
        self.gauge("gantry_journal_live_bytes", "Bytes of records that are not settled", usage.live_bytes)?;
        self.gauge("gantry_journal_live_refs", "References that are not settled", usage.live_refs)?;
        self.gauge("gantry_journal_backlog_bytes", "Bytes that are not synced yet", usage.backlog_bytes)?;
        self.gauge("gantry_journal_full", "1 where appends are refused for want of space", u64::from(usage.full))?;
        self.counter("gantry_journal_written_bytes", "Bytes written", usage.written_bytes)?;
        self.counter("gantry_journal_syncs", "Syncs that have been completed", usage.syncs)
    }
}

/// What the metrics listener answers. As in RabbitMQ, what there is of each queue stands apart: there may be very many.
pub(crate) fn router(metrics: Metrics) -> Router {
    let total = get(|State(metrics): State<Metrics>| async move { scrape(&metrics, false) });
    let per_object = get(|State(metrics): State<Metrics>| async move { scrape(&metrics, true) });
    Router::new().route("/metrics", total).route("/metrics/per-object", per_object).with_state(metrics)
}

fn scrape(metrics: &Metrics, per_queue: bool) -> Response {
    const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics.text(per_queue) {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_queue_is_told_where_it_is_asked_for_and_no_name_breaks_a_line() {
        let metrics = Metrics::new(Started::now(), Connections::new(1), Arc::default());
        let count = |queue: &str, visible| QueueCount {
            vhost: "/".into(),
            queue: queue.into(),
            visible,
            in_flight: 2,
            delayed: 3,
        };
        let delivered = || DeliveryCount {
            topic_arn: Some("arn:aws:sns:us-east-1:000000000000:t".into()),
            subscription: "s".into(),
            delivered: 4,
            retried: 3,
            dead_lettered: 2,
            dropped: 1,
        };
        metrics.set_broker(Sources {
            totals: Box::new(Snapshot::default),
            queues: Box::new(move || vec![count("orders", 7), count("a\"b\n\\", 1)]),
            deliveries: Box::new(move || vec![delivered()]),
        });
        assert!(!metrics.text(false).unwrap().contains("gantry_queue_messages"));
        let text = metrics.text(true).unwrap();
        for line in [
            "# TYPE gantry_queue_messages_visible gauge",
            r#"gantry_queue_messages_visible{vhost="/",queue="orders"} 7"#,
            r#"gantry_queue_messages_in_flight{vhost="/",queue="orders"} 2"#,
            r#"gantry_queue_messages_delayed{vhost="/",queue="orders"} 3"#,
            r#"gantry_queue_messages_visible{vhost="/",queue="a\"b\n\\"} 1"#,
            r#"gantry_sns_subscription_delivered_total{topic="arn:aws:sns:us-east-1:000000000000:t",subscription="s"} 4"#,
            "gantry_sns_dropped_total 0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn what_rises_does_not_fall_with_a_queue() {
        let mut rising = Rising::default();
        let told: Vec<_> = [10, 12, 3, 5].into_iter().map(|now| rising.advance(now)).collect();
        assert_eq!(told, [10, 12, 12, 14]);
    }
}
