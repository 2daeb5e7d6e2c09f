//! `slips sensor …`: what a person asks of one sensor.

use std::time::Duration;

use slips_agent::uplink::broker::Broker;
use slips_agent::wire::Outcome;

use super::args::Ask;
use super::{Failure, say};
use crate::fleet::{Reply, tell};

/// How long an answer is waited for.
const LIMIT: Duration = Duration::from_secs(20);

pub(super) fn run(broker: &Broker, site: &str, sensor: &str, ask: &Ask) -> Result<(), Failure> {
    match tell(broker, (site, sensor), ask.order(), LIMIT).map_err(Failure::run)? {
        Reply::Status(text) => {
            say(&text);
            Ok(())
        }
        Reply::Answer(outcome, note) => {
            let what = match outcome {
                Outcome::Done => "done",
                Outcome::Expired => "it came too late and was not carried out; is the sensor's clock right?",
                Outcome::Unsupported => "this sensor does not do that",
                Outcome::Failed => "tried, and did not work",
            };
            let text = if note.is_empty() { what.to_owned() } else { format!("{what}: {note}") };
            let text = format!("{site}/{sensor}: {text}");
            if outcome == Outcome::Done {
                say(&format!("{text}\n"));
                return Ok(());
            }
            Err(Failure::run(text))
        }
        Reply::Silence if *ask == Ask::Status => {
            Err(Failure::run(format!("{site}/{sensor} has never reported to the broker {broker}")))
        }
        Reply::Silence => Err(Failure::run(format!(
            "{site}/{sensor} has not answered within {} s; it will do it when it is back within the hour",
            LIMIT.as_secs()
        ))),
    }
}
