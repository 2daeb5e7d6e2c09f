//! The pipeline behind every input: site stage, shards, evidence, output.
