//! One command to one sensor, and its answer.
//!
//! Enters: what the sensor is asked to do. Leaves: its answer, out of its status; or its status alone. A connection of its own
//! that ends with the answer. The command goes out only when the answer can be heard; it expires, so that an agent that was
//! away for days does not carry it out when nobody means it any more.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, PubAckReason, SubscribeReasonCode};
use rumqttc::v5::{Client, Event};
use slips_agent::uplink::broker::{Broker, QOS, explain};
use slips_agent::wire::topic::Topic;
use slips_agent::wire::{Command, Kind, MAX_OTHER, Order, Outcome, Status};

/// How long after it was sent a command may still be carried out.
const EXPIRES: Duration = Duration::from_secs(3600);

/// What a sensor said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// What became of the command, in words; empty if there is nothing to say.
    Answer(Outcome, String),
    /// Its status as lines for a person.
    Status(String),
    /// Nothing in time. The command is with the broker and will be carried out if the sensor comes back within its expiry.
    Silence,
}

/// Sends `order` to `site`/`sensor` and waits for its answer, `limit` at most; without an order waits for its status.
///
/// # Errors
/// The broker is out of reach or does not take it: one sentence.
pub fn tell(
    broker: &Broker,
    (site, sensor): (&str, &str),
    order: Option<Order<'_>>,
    limit: Duration,
) -> Result<Reply, String> {
    let id = random();
    let mut buf = [0; MAX_OTHER];
    let command = match order {
        None => None,
        Some(order) => {
            let expires_us = utc_us().saturating_add(u64::try_from(EXPIRES.as_micros()).unwrap_or(u64::MAX));
            let command = Command { site, sensor, id, expires_us, order };
            Some(Bytes::copy_from_slice(command.write(&mut buf).map_err(|e| e.to_string())?))
        }
    };
    let options = broker.options(&format!("slips-tell/{id:016x}"), 8, 0);
    let (client, mut connection) = Client::new(options, 16);
    let (send, events) = sync_channel(16);
    std::thread::Builder::new()
        .name("tell".to_owned())
        .spawn(move || {
            for event in connection.iter() {
                let over = event.is_err();
                if send.send(event).is_err() || over {
                    return;
                }
            }
        })
        .map_err(|e| format!("the system gives no thread: {e}"))?;
    let topic = |kind| Topic { site, sensor, kind }.to_string();
    let until = Instant::now() + limit;
    let result = loop {
        let event = match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Ok(Event::Incoming(packet))) => packet,
            Ok(Ok(Event::Outgoing(_))) => continue,
            Ok(Err(error)) => break Err(format!("the broker {broker} {}", explain(&error))),
            Err(RecvTimeoutError::Timeout) => break Ok(Reply::Silence),
            Err(RecvTimeoutError::Disconnected) => {
                break Err(format!("the broker {broker} closed the connection"));
            }
        };
        match event {
            Packet::ConnAck(_) => {
                let _ = client.try_subscribe_many([Filter::new(topic(Kind::Status), QOS)]);
            }
            Packet::SubAck(ack) => {
                if ack.return_codes.iter().any(|code| !matches!(code, SubscribeReasonCode::Success(_))) {
                    break Err(format!(
                        "the broker {broker} does not let us hear the sensor: not authorised"
                    ));
                }
                if let Some(command) = &command {
                    let _ = client.try_publish(topic(Kind::Command), QOS, false, command.clone());
                }
            }
            Packet::PubAck(ack)
                if !matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers) =>
            {
                break Err(format!("the broker {broker} does not take our command: {:?}", ack.reason));
            }
            Packet::Publish(publish) => {
                // A status that cannot be read is no answer; `slips serve` counts it.
                let Ok(status) = Status::read(&publish.payload) else { continue };
                if command.is_none() {
                    break Ok(Reply::Status(describe(&status)));
                }
                if let Some(answer) = status.answers.iter().find(|answer| answer.id == id) {
                    break Ok(Reply::Answer(answer.outcome, answer.note.to_owned()));
                }
            }
            _ => {}
        }
    };
    let _ = client.try_disconnect();
    result
}

/// The status for a person.
fn describe(status: &Status<'_>) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    let state = if status.online { "online" } else { "offline" };
    let detail = match status.detail {
        slips_agent::wire::Detail::Flows => "flows",
        slips_agent::wire::Detail::Features => "window features",
    };
    let (ledger, custody) = (&status.ledger, &status.custody);
    // Writing into a String cannot fail.
    let _ = writeln!(
        out,
        "{}/{}: {state}, version {}, sends {detail}",
        status.site, status.sensor, status.version
    );
    let _ = writeln!(
        out,
        "packets {}, dropped by the kernel {}, not understood {}; flows opened {}, given up early {}",
        ledger.packets,
        ledger.kernel_dropped,
        ledger.not_understood_total(),
        ledger.flows_opened,
        ledger.flows_evicted
    );
    let _ = writeln!(
        out,
        "reports made {}, waiting {} ({} bytes), discarded {}",
        custody.next.saturating_sub(1),
        custody.waiting,
        custody.waiting_bytes,
        custody.discarded
    );
    for block in &status.blocks {
        let _ = writeln!(out, "blocks {}", block.addr);
    }
    if status.blocks_left_out > 0 {
        let _ = writeln!(out, "blocks {} more", status.blocks_left_out);
    }
    if !status.note.is_empty() {
        let _ = writeln!(out, "{}", status.note);
    }
    out
}

fn utc_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

fn random() -> u64 {
    use std::hash::BuildHasher as _;
    std::hash::RandomState::new().hash_one(std::process::id())
}
