//! What was said in flows that are not over yet: it waits for the final flow, so that the timeline tells both in one line.
//!
//! Bounded per profile: the flows that wait longest lose theirs first. Only the timeline depends on it.

use std::collections::VecDeque;
use std::sync::Arc;

use slips_agent::record::{AppRecord, Uid};

use crate::input::Text;

/// See the head of the file.
#[derive(Debug, Default)]
pub struct Speech(VecDeque<(Uid, Vec<Arc<AppRecord<Text>>>)>);

/// Flows of one profile whose records wait.
const MAX_FLOWS: usize = 256;
/// Records that wait for one flow.
const MAX_RECORDS: usize = 8;

impl Speech {
    /// Keeps a record until its flow ends.
    pub fn add(&mut self, record: Arc<AppRecord<Text>>) {
        if let Some((_, said)) = self.0.iter_mut().rev().find(|(uid, _)| *uid == record.uid) {
            if said.len() < MAX_RECORDS {
                said.push(record);
            }
            return;
        }
        if self.0.len() >= MAX_FLOWS {
            self.0.pop_front();
        }
        self.0.push_back((record.uid, vec![record]));
    }

    /// What was said in a flow that is over.
    pub fn take(&mut self, uid: Uid) -> Vec<Arc<AppRecord<Text>>> {
        let at = self.0.iter().position(|(u, _)| *u == uid);
        at.and_then(|at| self.0.remove(at)).map(|(_, said)| said).unwrap_or_default()
    }
}
