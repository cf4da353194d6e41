//! Every key of a stream and of its decoder that Pinot's users have in their files, and every trap that they know, with the test
//! that holds what becomes of it here, or the line of a page that says why there is nothing to hold. A test that was renamed, or
//! no longer speaks of its key, is missed here; so is a line.

use std::path::{Path, PathBuf};
use weir_formats::registry as decoders;

/// `key | test | FILE | NAME`: the test's body speaks of the key, or of the words that stand behind `for` in the key's place.
/// `key | docs | PAGE | WORDS`: one line of the page has the key and these words.
const KEYS: &str = "
# Kafka
stream.kafka.broker.list | test | crates/weir-server/tests/it/bad_days_creation.rs | n15_a_wrong_stream_setting_is_refused_and_leaves_nothing
stream.kafka.isolation.level for isolation.level | test | crates/weir-server/tests/it/bad_days_records.rs | n10_a_transactional_topic_that_ends_in_control_records
stream.kafka.partition.ids for partition.ids | test | crates/weir-control/tests/spec_table.rs | a_subset_of_partitions_a_pattern_of_topics_and_a_bound_on_the_backlog
stream.kafka.metadata.populate for metadata.populate | test | crates/weir-server/tests/it/bad_days_records.rs | columns_from_around_a_message_are_filled_also_by_a_replay
buffer.size | test | crates/weir-control/src/spec/keys_test.rs | every_stream_key_of_pinot_is_known
stream.kafka.buffer.size | docs | docs/reference/kafka.md | never had an effect
stream.kafka.socket.timeout | docs | docs/reference/kafka.md | never had an effect
stream.kafka.fetcher.size | docs | docs/reference/kafka.md | never had an effect
stream.kafka.fetcher.minBytes | docs | docs/reference/kafka.md | never had an effect
consumer.prop.anything | test | crates/weir-control/src/spec/keys_test.rs | every_stream_key_of_pinot_is_known
consumer.prop. | docs | docs/reference/kafka.md | have no effect
security.protocol | test | crates/weir-control/tests/spec_table.rs | client_and_decoder_settings_are_handed_on
sasl.mechanism for JAVA | test | crates/weir-streams/src/kafka/settings_tests.rs | every_setting_of_javas_client_is_known
sasl.jaas.config | test | crates/weir-streams/src/kafka/settings_tests.rs | a_login_module_gives_user_and_password
ssl.* for ssl.truststore.location | test | crates/weir-streams/src/kafka/settings_tests.rs | stores_and_texts_of_certificates
group.id | test | crates/weir-streams/src/kafka/settings_tests.rs | java_settings_become_the_librarys
max.poll.records | test | crates/weir-streams/src/kafka/settings_tests.rs | java_settings_become_the_librarys
max.partition.fetch.bytes | test | crates/weir-streams/src/kafka/settings_tests.rs | java_settings_become_the_librarys
fetch.max.bytes for JAVA | test | crates/weir-streams/src/kafka/settings_tests.rs | every_setting_of_javas_client_is_known
auto.offset.reset | test | crates/weir-streams/src/kafka/settings_tests.rs | java_settings_become_the_librarys
config.providers | test | crates/weir-control/src/spec/keys_test.rs | every_stream_key_of_pinot_is_known
config.providers.file.class | test | crates/weir-control/src/spec/keys_test.rs | every_stream_key_of_pinot_is_known
${alias:...} for ${vault: | test | crates/weir-control/tests/spec_table.rs | wrong_stream_values_name_key_value_and_remedy
stream.kafka.ssl.server.certificate | test | crates/weir-streams/src/kafka/settings_tests.rs | pinots_certificates_in_base64
stream.kafka.ssl.certificate.type | test | crates/weir-streams/src/kafka/settings_tests.rs | pinots_certificates_in_base64
stream.kafka.ssl.client.certificate | test | crates/weir-streams/src/kafka/settings_tests.rs | pinots_certificates_in_base64
stream.kafka.ssl.client.key | test | crates/weir-streams/src/kafka/settings_tests.rs | pinots_certificates_in_base64
stream.kafka.ssl.client.key.algorithm | test | crates/weir-streams/src/kafka/settings_tests.rs | pinots_certificates_in_base64
ssl.truststore.location | test | crates/weir-streams/src/kafka/settings_tests.rs | pinots_certificates_in_base64
ssl.truststore.password | test | crates/weir-streams/src/kafka/settings_tests.rs | pinots_certificates_in_base64
ssl.truststore.type | test | crates/weir-streams/src/kafka/settings_tests.rs | pinots_certificates_in_base64
ssl.keystore.location | test | crates/weir-streams/src/kafka/settings_tests.rs | pinots_certificates_in_base64
ssl.keystore.password | test | crates/weir-streams/src/kafka/settings_tests.rs | pinots_certificates_in_base64
ssl.keystore.type | test | crates/weir-streams/src/kafka/settings_tests.rs | pinots_certificates_in_base64
ssl.key.password | test | crates/weir-streams/src/kafka/settings_tests.rs | pinots_certificates_in_base64

# Kinesis
region | test | crates/weir-server/tests/it/on_kinesis.rs | n15_on_kinesis
accessKey | test | crates/weir-server/tests/it/on_kinesis.rs | n15_on_kinesis
secretKey | test | crates/weir-server/tests/it/bad_days_creation.rs | n15_a_wrong_stream_setting_is_refused_and_leaves_nothing
endpoint | test | crates/weir-server/tests/it/bad_days_creation.rs | n15_a_broker_that_is_not_there_is_refused_and_leaves_nothing
maxRecordsToFetch | test | crates/weir-streams/src/kinesis/settings.rs | settings_are_read
shardIteratorType | test | crates/weir-control/tests/spec_streams.rs | kinesis_maps_are_read
shardIteratorType | docs | docs/reference/kinesis.md | says where a table starts
requests_per_second_limit | test | crates/weir-streams/src/kinesis/settings.rs | settings_are_read
requests_per_second_limit | test | crates/weir-streams/tests/kinesis/main.rs | tables_share_one_limiter
iamRoleBasedAccessEnabled | test | crates/weir-streams/src/kinesis/settings.rs | wrong_settings_are_named_with_the_remedy
roleArn | test | crates/weir-streams/src/kinesis/settings.rs | wrong_settings_are_named_with_the_remedy
roleSessionName | test | crates/weir-streams/src/kinesis/settings.rs | a_role_is_read
externalId | test | crates/weir-streams/src/kinesis/settings.rs | a_role_is_read
sessionDurationSeconds | test | crates/weir-streams/src/kinesis/settings.rs | a_role_is_read
asyncSessionUpdateEnabled | test | crates/weir-streams/src/kinesis/settings.rs | a_role_is_read
roleSessionName for RoleSessionName | test | crates/weir-streams/src/kinesis/role.rs | a_stream_is_read_with_the_keys_of_the_roles_session
metadata.populate | docs | docs/reference/kinesis.md | a column is filled as soon as the schema has it

# Pulsar
stream.pulsar.bootstrap.servers | test | crates/weir-server/tests/it/on_pulsar.rs | n15_on_pulsar
stream.pulsar.serviceHttpUrl | test | crates/weir-control/tests/spec_streams.rs | pulsar_maps_are_read
serviceHttpUrl | docs | docs/reference/pulsar.md | the brokers list topics and partitions themselves
authenticationToken | test | crates/weir-streams/tests/pulsar/secure.rs | tokens_and_certificates
tlsTrustCertsFilePath | test | crates/weir-streams/tests/pulsar/secure.rs | tokens_and_certificates
issuerUrl | test | crates/weir-streams/tests/pulsar/secure.rs | tokens_and_certificates
credsFilePath | test | crates/weir-streams/tests/pulsar/secure.rs | tokens_and_certificates
audience | test | crates/weir-streams/src/pulsar/settings.rs | settings_are_read
enableKeyValueStitch | test | crates/weir-streams/tests/pulsar/main.rs | keys_properties_and_metadata_come_through
metadata.populate | docs | docs/reference/pulsar.md | a column is filled as soon as the schema has it
stream.pulsar.metadata.fields | test | crates/weir-control/tests/spec_streams.rs | pulsar_maps_are_read
metadata.fields | docs | docs/reference/pulsar.md | a column `__metadata$<field>` is filled
publishTime | test | crates/weir-streams/tests/pulsar/main.rs | keys_properties_and_metadata_come_through
eventTime | test | crates/weir-streams/tests/pulsar/main.rs | keys_properties_and_metadata_come_through
brokerPublishTime | docs | docs/reference/pulsar.md | not handed on
key | test | crates/weir-streams/tests/pulsar/main.rs | keys_properties_and_metadata_come_through
messageId | test | crates/weir-streams/tests/pulsar/main.rs | keys_properties_and_metadata_come_through
messageIdBytes | test | crates/weir-streams/tests/pulsar/main.rs | keys_properties_and_metadata_come_through
producerName | test | crates/weir-streams/tests/pulsar/main.rs | keys_properties_and_metadata_come_through
schemaVersion | test | crates/weir-streams/tests/pulsar/main.rs | a_schema_s_version_comes_through
sequenceId | test | crates/weir-streams/tests/pulsar/main.rs | keys_properties_and_metadata_come_through
orderingKey | test | crates/weir-streams/tests/pulsar/main.rs | keys_properties_and_metadata_come_through
size | test | crates/weir-streams/tests/pulsar/main.rs | keys_properties_and_metadata_come_through
topicName | test | crates/weir-streams/tests/pulsar/main.rs | keys_properties_and_metadata_come_through
index | docs | docs/reference/pulsar.md | not handed on
redeliveryCount | test | crates/weir-streams/tests/pulsar/main.rs | keys_properties_and_metadata_come_through

# What decoders share
recordExtractorClass | test | crates/weir-formats/src/registry.rs | class_names_resolve_in_any_package
recordExtractorConfigClass | docs | docs/reference/decoders.md | accepted, without effect

# Names of decoders
JSONMessageDecoder | test | crates/weir-server/tests/it/bad_days_decoders.rs | own_ways
KafkaJSONMessageDecoder | test | crates/weir-formats/src/registry.rs | class_names_resolve_in_any_package
CSVMessageDecoder | test | crates/weir-server/tests/it/bad_days_decoders.rs | own_ways
SimpleAvroMessageDecoder | test | crates/weir-server/tests/it/bad_days_decoders.rs | reference_ways
KafkaAvroMessageDecoder | test | crates/weir-server/tests/it/bad_days_decoders.rs | reference_ways
KafkaConfluentSchemaRegistryAvroMessageDecoder | test | crates/weir-server/tests/it/bad_days_decoders.rs | reference_ways
KafkaConfluentSchemaRegistryJsonMessageDecoder | test | crates/weir-server/tests/it/bad_days_decoders.rs | reference_ways
KafkaConfluentSchemaRegistryProtoBufMessageDecoder | test | crates/weir-server/tests/it/bad_days_decoders.rs | reference_ways
ProtoBufMessageDecoder | test | crates/weir-server/tests/it/bad_days_decoders.rs | reference_ways
ProtoBufCodeGenMessageDecoder | test | crates/weir-server/tests/it/bad_days_creation.rs | n15_a_wrong_decoder_is_refused_and_leaves_nothing
ArrowMessageDecoder | test | crates/weir-server/tests/it/bad_days_decoders.rs | own_ways
BSONMessageDecoder | test | crates/weir-server/tests/it/bad_days_decoders.rs | own_ways
CLPLogMessageDecoder | test | crates/weir-server/tests/it/bad_days_decoders.rs | own_ways

# Settings of decoders; those of a list are known to the decoder in its heading
[json]
jsonFormat | test | crates/weir-server/tests/it/bad_days_decoders.rs | own_ways
[csv]
fileFormat | test | crates/weir-formats/src/csv/tests.rs | fields_are_read_as_commons_csv_reads_them
header | test | crates/weir-formats/src/csv/tests.rs | fields_are_read_as_commons_csv_reads_them
delimiter | test | crates/weir-formats/src/csv/tests.rs | fields_are_read_as_commons_csv_reads_them
commentMarker | test | crates/weir-formats/src/csv/tests.rs | fields_are_read_as_commons_csv_reads_them
escapeCharacter | test | crates/weir-formats/src/csv/tests.rs | fields_are_read_as_commons_csv_reads_them
multiValueDelimiter | test | crates/weir-formats/src/csv/tests.rs | fields_are_read_as_commons_csv_reads_them
nullStringValue | test | crates/weir-formats/src/csv/tests.rs | fields_are_read_as_commons_csv_reads_them
skipHeader | test | crates/weir-formats/src/csv/tests.rs | fields_are_read_as_commons_csv_reads_them
ignoreEmptyLines | test | crates/weir-formats/src/csv/tests.rs | fields_are_read_as_commons_csv_reads_them
ignoreSurroundingSpaces | test | crates/weir-formats/src/csv/tests.rs | fields_are_read_as_commons_csv_reads_them
quoteCharacter | test | crates/weir-formats/src/csv/tests.rs | fields_are_read_as_commons_csv_reads_them
quoteMode | test | crates/weir-formats/src/csv/tests.rs | fields_are_read_as_commons_csv_reads_them
recordSeparator | test | crates/weir-formats/src/csv/tests.rs | fields_are_read_as_commons_csv_reads_them
[avro]
schema | test | crates/weir-server/tests/it/bad_days_decoders.rs | reference_ways
leading.bytes.to.strip | test | crates/weir-formats/src/avro/tests.rs | what_is_broken_says_where
extractRawTimeValues | test | crates/weir-formats/src/avro/tests.rs | each_type_meets_its_columns
[avro-hashed]
schema.registry.rest.url | test | crates/weir-server/tests/it/bad_days_decoders.rs | reference_ways
schema.registry.schema.name for latest_with_type | test | crates/weir-formats/src/schema_registry/tests.rs | avro_behind_a_hash_is_read_with_that_schema_or_the_newest
[avro-confluent]
schema.registry.rest.url | test | crates/weir-server/tests/it/bad_days_decoders.rs | reference_ways
schema.registry.basic.auth.credentials.source for basic.auth.credentials.source | test | crates/weir-formats/src/schema_registry/tests.rs | logins_are_sent_and_never_shown
schema.registry.basic.auth.user.info for basic.auth.user.info | test | crates/weir-formats/src/schema_registry/tests.rs | logins_are_sent_and_never_shown
schema.registry.ssl.truststore.location for ssl.truststore.location | test | crates/weir-formats/tests/registry/main.rs | certificates_are_checked_both_ways
schema.registry.ssl.keystore.location for ssl.keystore.location | test | crates/weir-formats/tests/registry/main.rs | certificates_are_checked_both_ways
cached.schema.map.capacity | test | crates/weir-server/tests/it/bad_days_creation.rs | n15_a_wrong_decoder_is_refused_and_leaves_nothing
[json-confluent]
schema.registry.rest.url | test | crates/weir-server/tests/it/bad_days_decoders.rs | reference_ways
cached.schema.map.capacity | test | crates/weir-server/tests/it/bad_days_creation.rs | n15_a_wrong_decoder_is_refused_and_leaves_nothing
[protobuf-confluent]
schema.registry.rest.url | test | crates/weir-server/tests/it/bad_days_decoders.rs | reference_ways
cached.schema.map.capacity | test | crates/weir-server/tests/it/bad_days_creation.rs | n15_a_wrong_decoder_is_refused_and_leaves_nothing
[protobuf]
descriptorFile | test | crates/weir-server/tests/it/bad_days_decoders.rs | reference_ways
protoClassName | test | crates/weir-server/tests/it/bad_days_decoders.rs | reference_ways
[arrow]
arrow.allocator.limit | test | crates/weir-formats/src/arrow_ipc/tests.rs | compressed_batches_are_read_within_the_limit
[clp]
fieldsForClpEncoding | test | crates/weir-server/tests/it/bad_days_decoders.rs | own_ways
removeProcessedFields | test | crates/weir-formats/src/clp.rs | fields_gain_their_parts
unencodableFieldSuffix | test | crates/weir-formats/src/clp.rs | fields_gain_their_parts
unencodableFieldError | test | crates/weir-formats/src/clp.rs | fields_gain_their_parts
topicNameDestinationColumn | test | crates/weir-formats/src/clp.rs | fields_gain_their_parts
errorSamplingPeriod | docs | docs/reference/decoders.md | every reject is in quarantine
[]
jarFile | test | crates/weir-server/tests/it/bad_days_creation.rs | n15_a_wrong_decoder_is_refused_and_leaves_nothing
";

/// The traps of Pinot's stream side, each with the words that its test speaks of.
const TRAPS: &str = "
1 earliest is a word for the start for earliest | test | crates/weir-server/tests/it/bad_days_offsets.rs | n17_earliest_is_accepted
1 auto.offset.reset alone is the client's for auto.offset.reset | test | crates/weir-streams/src/kafka/settings_tests.rs | java_settings_become_the_librarys
2 a table starts at the end for StartAt::Latest | test | crates/weir-control/tests/spec_table.rs | offset_criteria
2 a table shows where for startOffset | test | crates/weir-server/tests/it/every_trap.rs | a_table_that_begins_at_the_end_of_a_full_topic_shows_where
3 rows are shared by partitions for threshold | test | crates/weir-control/tests/spec_table.rs | flush_thresholds_and_their_old_names
3 rows 0 mean a size for BySize | test | crates/weir-control/tests/spec_table.rs | flush_thresholds_and_their_old_names
4 true drops for filter | test | crates/weir-formats/src/transform/tests.rs | the_filter_drops_rows_after_columns_were_derived
5 what the record brings stands for record | test | crates/weir-formats/src/transform/tests.rs | what_the_record_brings_stands_where_its_column_can_take_it
6 texts of BOOLEAN for Boolean | test | crates/weir-formats/src/coerce/tests.rs | to_float_double_and_boolean
6 LONG to INT wraps for Int | test | crates/weir-formats/src/coerce/tests.rs | to_int_and_long
6 INT to TIMESTAMP for Timestamp | test | crates/weir-formats/src/coerce/tests.rs | to_timestamp_and_big_decimal
7 default nulls for null | test | crates/weir-formats/src/coerce/matrix.rs | defaults_of_nulls_are_pinots
8 long texts are cut for 512 | test | crates/weir-server/tests/it/every_trap.rs | only_text_is_cut_behind_512_letters
8 or replaced, refused, kept for TrimLength | test | crates/weir-formats/src/stages/tests.rs | long_texts_are_cut_replaced_refused_or_kept
8 JSON is not for json | test | crates/weir-formats/src/stages/tests.rs | json_is_kept_unless_it_is_told_otherwise_and_each_value_of_several_is_looked_at
9 rejects are told for quarantine | test | crates/weir-server/tests/it/bad_days_decoders.rs | n01_one_bad_message_in_ten_thousand_of_every_decoder
10 headers are text without a switch for __header$trace | test | crates/weir-server/tests/it/bad_days_records.rs | columns_from_around_a_message_are_filled_also_by_a_replay
11 keys without a prefix for metadata.populate | test | crates/weir-control/src/spec/keys_test.rs | every_key_of_pulsar_and_kinesis_is_known
11 the start criterion holds for StartAt::Latest | test | crates/weir-streams/tests/kinesis/main.rs | where_a_table_starts
12 new partitions at once from their start for grow | test | crates/weir-server/tests/it/bad_days_offsets.rs | n05_added_partitions
13 topics keep their numbers for t__10000__ | test | crates/weir-server/tests/it/bad_days_offsets.rs | first_topic_removed
14 believable times for 31_536_000_000 | test | crates/weir-formats/src/stages/tests.rs | the_first_and_the_last_believable_times_are
15 open segments answer as sealed ones for rangeIndexColumns | test | crates/weir-server/tests/it/every_trap.rs | an_open_segment_answers_as_a_sealed_one_whatever_its_indexes
16 nothing is sealed empty for empty | test | crates/weir-ingest/src/pipeline/flush.rs | rows_then_age_and_never_an_empty_range
17 unknown keys are told for unrecognized | test | crates/weir-control/src/spec/keys_test.rs | bare_keys_go_to_the_kafka_client_and_typos_are_reported
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The text of a function, from its line to the brace that ends it.
fn body<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let at = text.find(&format!("fn {name}("))?;
    let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let indent: String = text[line..].chars().take_while(|letter| *letter == ' ').collect();
    let end = text[at..].find(&format!("\n{indent}}}"))?;
    Some(&text[at..at + end])
}

/// What is wrong with one line of a list.
fn wrong(line: &str) -> Option<String> {
    let [key, kind, file, what] = line.split(" | ").collect::<Vec<_>>().try_into().ok()?;
    let (key, words) = key.rsplit_once(" for ").unwrap_or((key, key));
    let path = root().join(file);
    let Ok(text) = std::fs::read_to_string(&path) else { return Some(format!("{key}: there is no file {file}")) };
    match kind {
        "test" => match body(&text, what) {
            None => Some(format!("{key}: {file} has no test {what}")),
            Some(body) if !body.contains(words) => Some(format!("{key}: {what} of {file} does not speak of {words:?}")),
            Some(_) => None,
        },
        "docs" => {
            let says = text.lines().any(|line| line.contains(words) && line.contains(what));
            (!says).then(|| format!("{key}: no line of {file} says {words:?} and {what:?}"))
        }
        other => Some(format!("{key}: {other} is neither test nor docs")),
    }
}

fn lines(list: &str) -> impl Iterator<Item = &str> {
    list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[test]
fn every_key_has_a_test_or_a_line_that_says_why_not() {
    let (mut missing, mut decoder) = (vec![], "");
    for line in lines(KEYS) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            decoder = name;
            continue;
        }
        assert_eq!(line.split(" | ").count(), 4, "{line}");
        missing.extend(wrong(line));
        let key = line.split([' ', '|']).next().unwrap();
        if !decoder.is_empty() && !decoders::knows(decoder, key) {
            missing.push(format!("{decoder} does not know {key}"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_trap_has_a_test() {
    let missing: Vec<String> = lines(TRAPS).filter_map(wrong).collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    let numbers: std::collections::BTreeSet<u32> =
        lines(TRAPS).map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (1..=17).collect());
}
