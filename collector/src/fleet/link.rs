//! The collector's connection to the broker: rumqttc on a thread of its own, a channel to the intake.
//!
//! Acknowledgements to the broker are ours to give, after the journal has the message: so the broker sends no more than
//! [`IN_FLIGHT`] ahead of us, and memory does not grow with what waits there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::{Filter, Packet, Publish, SubscribeReasonCode};
use rumqttc::v5::{Client, Connection, Event as Mqtt};
use slips_agent::uplink::broker::{Broker, QOS, explain};
use slips_agent::wire::topic::ROOT;

/// Messages that the broker may send ahead of our acknowledgement, and we ahead of its.
pub const IN_FLIGHT: u16 = 64;
/// How long the broker keeps messages for a collector that is away, s.
const SESSION_S: u32 = 7 * 24 * 3600;
/// Requests that may wait for the connection's thread: all acknowledgements under way, and answers to sensors.
const REQUESTS: usize = 4096;
/// First and longest wait before connecting again.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// What the intake hears.
pub enum Event {
    /// The broker let us in.
    Up(Client),
    /// It did not, or the connection is gone: why, as the end of a sentence that begins with the broker.
    Down(String),
    /// A message.
    Message(Publish),
    /// The broker does not let us hear the sensors.
    Deaf,
}

/// Ends the thread: it is woken from its waiting.
#[derive(Default)]
pub struct Stop {
    stop: AtomicBool,
    gate: (Mutex<()>, Condvar),
}

impl Stop {
    /// Ends it.
    pub fn now(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.gate.1.notify_all();
    }

    fn is_set(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn wait(&self, limit: Duration) {
        let guard = self.gate.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_set() {
            let _ = self.gate.1.wait_timeout(guard, limit);
        }
    }
}

/// Runs the connection until it is stopped or nobody listens.
pub fn run(broker: &Broker, name: &str, stop: &Arc<Stop>, events: &SyncSender<Event>) {
    let mut wait = RETRY.0;
    while !stop.is_set() {
        let mut options = broker.options(name, IN_FLIGHT, SESSION_S);
        options.set_manual_acks(true);
        let (client, mut connection) = Client::new(options, REQUESTS);
        let mut up = false;
        let why = serve(&client, &mut connection, events, &mut up);
        if why.is_none_or(|why| events.send(Event::Down(why)).is_err()) {
            return;
        }
        wait = if up { RETRY.0 } else { (wait * 2).min(RETRY.1) };
        stop.wait(wait);
    }
}

/// Serves one connection until it is gone: why; `None` if nobody listens.
fn serve(
    client: &Client,
    connection: &mut Connection,
    events: &SyncSender<Event>,
    up: &mut bool,
) -> Option<String> {
    loop {
        let packet = match connection.recv() {
            Ok(Ok(Mqtt::Incoming(packet))) => packet,
            Ok(Ok(Mqtt::Outgoing(_))) => continue,
            Ok(Err(error)) => return Some(explain(&error)),
            Err(_) => return Some("closed the connection".to_owned()),
        };
        let event = match packet {
            Packet::ConnAck(_) => {
                *up = true;
                let topics =
                    ["report", "status"].map(|kind| Filter::new(format!("{ROOT}/+/+/+/{kind}"), QOS));
                if client.try_subscribe_many(topics).is_err() {
                    return Some("failed: the subscription could not be sent".to_owned());
                }
                Event::Up(client.clone())
            }
            Packet::SubAck(ack)
                if ack.return_codes.iter().any(|c| !matches!(c, SubscribeReasonCode::Success(_))) =>
            {
                Event::Deaf
            }
            Packet::Publish(publish) => Event::Message(publish),
            _ => continue,
        };
        events.send(event).ok()?;
    }
}
