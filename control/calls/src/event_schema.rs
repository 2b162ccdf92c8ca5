//! The published JSON schema of events, `control/ng/schema/events.schema.json`, written from the table of events and the names
//! that a verdict may have. `cargo run --example write_event_schema` writes it.

use trestle_ng::{Dict, Value, json};

use crate::diagnosis::{EndCause, Grade, Hint, MetaCode};
use crate::events::{EndedLeg, EventBody, EventInfo, FieldInfo};

/// Columns up to which an object or a list is written in one line.
const COLUMNS: usize = 160;

const ABOUT: &str = "One JSON object, the same whether it comes as a datagram (`subscribe events`), as a line over TCP \
     (`listen-events`) or within `events` of a POST (`event-webhook`). Later versions may have more events and more keys: \
     ignore unknown ones.";

const EXAMPLES: [&str; 4] = [
    r#"{"event":"call.gate.opened","event-id":1795310851000017,"time-ms":1795310858412,"call-id":"wacid.example","tag":"whatsapp","label":"caller","after-ms":7412}"#,
    r#"{"event":"call.dtmf","event-id":1795310851000031,"time-ms":1795310869120,"call-id":"wacid.example","tag":"whatsapp","after-ms":18120,"digit":"7","duration-ms":500,"volume":10}"#,
    r#"{"event":"call.at-risk","event-id":1795310851000040,"time-ms":1795310879120,"call-id":"wacid.example","tag":"agent","after-ms":28120,"risk":"one-way","stage":"first-media-out","lasted-ms":10000,"reason":"one-way audio: media is received from the other side, but not from the SIP side"}"#,
    r#"{"event":"call.ended","event-id":1795310851000055,"time-ms":1795310900000,"call-id":"wacid.example","after-ms":49000,"cause":"deleted","legs":[{"tag":"whatsapp","packets-in":2000,"packets-out":2050,"packets-lost":0,"concealed-frames":0,"filled-frames":12,"pre-roll-ms":1480,"clipped-ms":0,"caught-up-ms":6200}],"verdict":{"grade":"good","cause":"normal","mos-x10":43,"summary":"the call ended normally 40.2 s after the answer, estimated MOS 4.3"}}"#,
];

/// The whole file.
pub fn event_schema() -> String {
    let count = Dict::default().with("type", "integer").with("minimum", 0_u64);
    let names = EventBody::table().into_iter().map(|event| event.name);
    let event_name = Dict::default().with("title", "EventName").with("enum", texts(names));
    let definitions = Dict::default()
        .with("count", count)
        .with("event-name", event_name)
        .with("event", event(&EventBody::table()))
        .with("ended-verdict", ended_verdict())
        .with("ended-leg", object("EndedLeg", None, &EndedLeg::fields()));
    let schema = Dict::default()
        .with("$schema", "https://json-schema.org/draft/2020-12/schema")
        .with("$id", "urn:trestle:events")
        .with("title", "An event of a call")
        .with("description", ABOUT)
        .with("$ref", "#/$defs/event")
        .with("$defs", definitions);
    let mut text = pretty(&schema.into(), 0);
    text.push('\n');
    text
}

fn event(table: &[EventInfo]) -> Dict {
    let count = || Dict::default().with("$ref", "#/$defs/count");
    let string = || Dict::default().with("type", "string");
    let mut properties = Dict::default()
        .with("event", Dict::default().with("$ref", "#/$defs/event-name"))
        .with(
            "event-id",
            described(count(), "Rises with every event of this Trestle, restarts included; the same in every copy."),
        )
        .with("time-ms", described(count(), "Unix time."))
        .with("call-id", string())
        .with("tag", described(string(), "SIP tag of the party, if the event is about one that has a tag."))
        .with("label", described(string(), "Label of the party, if it was given one."))
        .with("after-ms", described(count(), "Since the call was opened."));
    let mut fields: Vec<&FieldInfo> = Vec::new();
    for field in table.iter().flat_map(|event| &event.fields) {
        if !fields.iter().any(|known| known.key == field.key) {
            fields.push(field);
        }
    }
    for field in fields {
        let has_field = |event: &&EventInfo| event.fields.iter().any(|other| other.key == field.key);
        let events: Vec<String> = table.iter().filter(has_field).map(|event| format!("`{}`", event.name)).collect();
        let text = format!("{}: {}.", events.join(", "), field.doc);
        properties.push(field.key, described(field.schema.clone(), &text));
    }
    let conditions = table.iter().filter_map(|event| {
        let required: Vec<&str> = event.fields.iter().filter(|field| field.required).map(|field| field.key).collect();
        let is_event = Dict::default().with("event", Dict::default().with("const", event.name));
        (!required.is_empty()).then(|| {
            let condition = Dict::default().with("if", Dict::default().with("properties", is_event));
            condition.with("then", Dict::default().with("required", texts(required))).into()
        })
    });
    let examples = EXAMPLES.iter().filter_map(|example| Some(json::read(example.as_bytes()).ok()?.into()));
    Dict::default()
        .with("title", "CallEvent")
        .with("type", "object")
        .with("properties", properties)
        .with("required", texts(["event", "event-id", "time-ms", "call-id", "after-ms"]))
        .with("allOf", conditions.collect::<Vec<Value>>())
        .with("examples", examples.collect::<Vec<Value>>())
}

fn ended_verdict() -> Dict {
    let one_of = |names: Value| Dict::default().with("enum", names);
    let mos = Dict::default().with("type", "integer").with("minimum", 10_u64).with("maximum", 45_u64);
    let codes: Vec<Value> = MetaCode::ALL.iter().map(|code| u64::from(code.number()).into()).collect();
    let statuses = MetaCode::ALL.iter().filter_map(|code| code.sip_status());
    let hints = Dict::default().with("type", "array").with("items", one_of(texts(Hint::ALL.map(Hint::name))));
    let properties = Dict::default()
        .with(
            "grade",
            described(one_of(texts(Grade::ALL.map(Grade::name))), "Overall; `none`: there was too little to judge."),
        )
        .with(
            "cause",
            described(one_of(texts(EndCause::ALL.map(EndCause::name))), "Why the call ended, as far as its media shows."),
        )
        .with(
            "mos-x10",
            described(
                mos,
                "Estimated mean opinion score (E-model, G.107) of the party that received the worse audio, tenths. Missing if too little was received.",
            ),
        )
        .with("meta-code", described(one_of(codes.into()), "The error code of Meta that matches."))
        .with(
            "sip-code",
            described(
                Dict::default().with("enum", statuses.map(|status| u64::from(status).into()).collect::<Vec<Value>>()),
                "The SIP status with which WhatsApp ends a SIP call for that.",
            ),
        )
        .with("hints", described(hints, "Further findings."))
        .with("summary", described(Dict::default().with("type", "string"), "One sentence."));
    Dict::default()
        .with("title", "EndedVerdict")
        .with("description", "The quality of the call and why it ended.")
        .with("type", "object")
        .with("properties", properties)
        .with("required", texts(["grade", "cause", "summary"]))
}

fn object(title: &str, description: Option<&str>, fields: &[FieldInfo]) -> Dict {
    let mut object = Dict::default().with("title", title);
    if let Some(description) = description {
        object.push("description", description);
    }
    let mut properties = Dict::default();
    for field in fields {
        properties.push(field.key, described(field.schema.clone(), &format!("{}.", field.doc)));
    }
    let required = fields.iter().filter(|field| field.required).map(|field| field.key);
    object.with("type", "object").with("properties", properties).with("required", texts(required))
}

fn described(schema: Dict, text: &str) -> Dict {
    schema.with("description", capitalised(text))
}

/// The first letter of a description in upper case; a quoted name at its begin stays as it is.
fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn texts<'a>(names: impl IntoIterator<Item = &'a str>) -> Value {
    names.into_iter().map(Value::from).collect::<Vec<_>>().into()
}

/// JSON in lines of at most [`COLUMNS`], where that is possible.
fn pretty(value: &Value, indent: usize) -> String {
    let line = flat(value);
    let (open, close, items): (char, char, Vec<String>) = match value {
        Value::Dict(dict) if line.len() + indent > COLUMNS || indent == 0 => {
            let item = |(key, value): (&[u8], &Value)| {
                format!("{}: {}", quoted(&String::from_utf8_lossy(key)), pretty(value, indent + 2))
            };
            ('{', '}', dict.iter().map(item).collect())
        }
        Value::List(list) if line.len() + indent > COLUMNS => {
            ('[', ']', list.iter().map(|value| pretty(value, indent + 2)).collect())
        }
        _ => return line,
    };
    let margin = " ".repeat(indent + 2);
    let items: Vec<String> = items.into_iter().map(|item| format!("{margin}{item}")).collect();
    format!("{open}\n{}\n{}{close}", items.join(",\n"), " ".repeat(indent))
}

fn flat(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Bytes(bytes) => quoted(&String::from_utf8_lossy(bytes)),
        Value::List(list) => format!("[{}]", list.iter().map(flat).collect::<Vec<_>>().join(", ")),
        Value::Dict(dict) => {
            let item =
                |(key, value): (&[u8], &Value)| format!("{}: {}", quoted(&String::from_utf8_lossy(key)), flat(value));
            format!("{{ {} }}", dict.iter().map(item).collect::<Vec<_>>().join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schema_is_the_one_of_the_table() {
        let published = include_str!("../../ng/schema/events.schema.json");
        assert!(
            published == event_schema(),
            "control/ng/schema/events.schema.json is stale: run `cargo run --example write_event_schema`"
        );
    }

    #[test]
    fn the_schema_is_json_with_every_event() {
        let schema: serde_json::Value = serde_json::from_str(&event_schema()).unwrap();
        let names = schema["$defs"]["event-name"]["enum"].as_array().unwrap();
        assert_eq!(names.len(), EventBody::table().len());
        assert_eq!(schema["$defs"]["event"]["examples"].as_array().unwrap().len(), EXAMPLES.len());
    }

    #[test]
    fn the_table_of_events_in_the_documentation_has_every_event_and_its_keys() {
        let document = include_str!("../../../docs/PROTOCOL.md");
        let rows: Vec<Vec<&str>> = document
            .lines()
            .filter(|line| line.starts_with("| `call."))
            .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
            .collect();
        let table = EventBody::table();
        for EventInfo { name, fields, .. } in &table {
            let row = rows.iter().find(|row| row[0].contains(&format!("`{name}`")));
            let keys = *row.and_then(|row| row.last()).unwrap_or_else(|| panic!("docs/PROTOCOL.md: no row for {name}"));
            for other in table.iter().flat_map(|event| &event.fields) {
                let belongs = fields.iter().any(|field| field.key == other.key);
                let is_named = keys.contains(&format!("`{}`", other.key));
                assert_eq!(is_named, belongs, "docs/PROTOCOL.md: `{}` in the row of {name}: {keys}", other.key);
            }
        }
    }
}
