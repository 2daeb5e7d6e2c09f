//! The way from the sensor to its collector: MQTT 5 over a broker.
//!
//! [`machine`] decides what is sent, again and when, without I/O and without a clock; [`session`] is the thin shell that
//! carries it out with rumqttc; [`broker`] is what agent and collector share of a connection. Custody is in the spool: what
//! the client library or the broker holds may be lost at any moment.

pub mod broker;
pub mod machine;
pub mod session;
pub mod tls;
