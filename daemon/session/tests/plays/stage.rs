//! Performs a scene: lets its causes happen, and compares what the session wants with what the
//! script says that it wants.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use jid::BareJid;
use minidom::Element;
use prosed_session::{
    AvatarRecord, Call, CapsKey, CapsRecord, Declared, Effect, ImageInfo, ImageType, Input, PersonRecord,
    Profile, RosterRecord, Snapshot, Software, Timestamp, Unsent,
};
use xmpp_parsers::stanza::Stanza;

use crate::script::{Names, Scene, Step, times, words};
use crate::show::{Body, Show, Shown};
use crate::watched::{Disk, START, Wanted, Watched};
use crate::words::{bare, command, failure, max_bytes, own_presence, roster_item, seed, span, stanzas};
use crate::xml;

/// What is wrong with a scene, or with the session.
pub(crate) struct Trouble {
    pub(crate) line: usize,
    pub(crate) text: String,
}

pub(crate) fn perform(scene: &Scene) -> Result<(), Trouble> {
    let mut stage = Stage::default();
    let mut wanted: VecDeque<Shown> = VecDeque::new();
    let mut after = 0;
    for step in &scene.steps {
        let trouble = |text: String| Trouble { line: step.line, text };
        if step.is_expectation() {
            let Some(actual) = wanted.pop_front() else {
                return Err(trouble(format!("this does not happen: {}", step.head)));
            };
            stage.compare(step, &actual).map_err(trouble)?;
        } else {
            nothing_else(&stage, &wanted, after)?;
            after = step.line;
            wanted = stage.act(step).map_err(trouble)?.into();
        }
    }
    nothing_else(&stage, &wanted, after)
}

/// What happens and is not in the script fails it.
fn nothing_else(stage: &Stage, wanted: &VecDeque<Shown>, line: usize) -> Result<(), Trouble> {
    if wanted.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = wanted.iter().flat_map(|shown| stage.script_of(shown)).collect();
    Err(Trouble { line, text: format!("and nothing else, the play says; but also\n{}", lines.join("\n")) })
}

/// The cast and the props.
#[derive(Default)]
pub(crate) struct Stage {
    account: Option<BareJid>,
    software: Option<Software>,
    cached: Snapshot,
    session: Option<Watched>,
    labels: BTreeMap<Call, String>,
    uses: BTreeMap<String, usize>,
    pub(crate) names: Names,
}

impl Stage {
    /// Lets a step happen; answers what the session wants then.
    pub(crate) fn act(&mut self, step: &Step) -> Result<Vec<Shown>, String> {
        if let Some(definition) = step.head.strip_prefix("let $") {
            return self.define(definition).map(|()| Vec::new());
        }
        let head = self.names.put_in(&step.head);
        let words = words(&head);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if self.set_up(&words, &step.block)? {
            return Ok(Vec::new());
        }
        if self.session.is_none() {
            let account = self.account.clone().ok_or("whose account?")?;
            let software = self.software.clone().unwrap_or_else(Software::prosed);
            self.session = Some(Watched::new(account, software, self.cached.clone()));
        }
        catch_unwind(AssertUnwindSafe(|| self.cause(&words, &step.block)))
            .unwrap_or_else(|panic| Err(format!("panics: {}", panic_text(&*panic))))
    }

    fn define(&mut self, definition: &str) -> Result<(), String> {
        let (name, value) = definition.split_once(" = ").ok_or("let $name = value")?;
        let value = match value.split_once(" times ") {
            Some((count, text)) if count.parse::<usize>().is_ok() => {
                times(count.parse().unwrap_or_default(), &self.names.put_in(text))
            }
            _ => self.names.put_in(value),
        };
        self.names.bind(name, value);
        Ok(())
    }

    /// What the cache holds when the play begins; answers whether these words were about that.
    fn set_up(&mut self, words: &[&str], block: &str) -> Result<bool, String> {
        match words {
            ["account", jid] => self.account = Some(bare(jid)?),
            ["software", "seed"] => self.software = Some(seed()),
            ["cached", "roster", rest @ ..] => {
                let version = rest.iter().find_map(|word| word.strip_prefix("ver=")).map(str::to_owned);
                let items = xml::read(&self.names.put_in(block))?;
                let items = items.iter().map(roster_item).collect::<Result<_, _>>()?;
                self.cached.roster = Some(RosterRecord { version, items });
            }
            ["cached", "avatar", jid, "none"] => self.cached_person(jid)?.avatar = Declared::Absent,
            ["cached", "avatar", jid, id, rest @ ..] => {
                let id = id.parse().map_err(|_| "an avatar's id is a SHA-1")?;
                let image = match rest {
                    ["lost"] => Some(ImageInfo { kind: ImageType::Png, bytes: 1, width: 1, height: 1 }),
                    ["unsaved", ..] => None,
                    [bytes, width, height, ..] => {
                        let number = |text: &&str| text.parse().map_err(|_| format!("a number: {text}"));
                        let (width, height) = (number(width)?, number(height)?);
                        let bytes = bytes.parse().map_err(|_| format!("a number: {bytes}"))?;
                        self.cached.images.insert(id);
                        Some(ImageInfo { kind: ImageType::Png, bytes, width, height })
                    }
                    _ => {
                        return Err("cached avatar JID ID BYTES WIDTH HEIGHT, or lost, or unsaved".to_owned());
                    }
                };
                let legacy = rest.last() == Some(&"legacy");
                self.cached_person(jid)?.avatar =
                    Declared::Present(AvatarRecord { id, image, legacy, spelling: None });
            }
            ["cached", "profile", jid, source, name] => {
                let profile = Profile { full_name: Some((*name).to_owned()), ..Profile::default() };
                let record = &mut self.cached_person(jid)?.profile;
                let slot = match *source {
                    "vcard4" => &mut record.vcard4,
                    "prose" => &mut record.prose,
                    "temp" => &mut record.temp,
                    _ => return Err(format!("no source of profiles: {source}")),
                };
                *slot = Some(profile.into());
            }
            ["cached", "seen", jid, before, "ago"] => {
                let before = i64::try_from(span(before)?.as_millis()).map_err(|error| error.to_string())?;
                self.cached.last_seen.push((bare(jid)?, Timestamp(START.0 - before)));
            }
            ["cached", "asked", jid, away, direction @ ("ago" | "ahead")] => {
                let away = i64::try_from(span(away)?.as_millis()).map_err(|_| "too far away")?;
                let at = if *direction == "ago" { START.0 - away } else { START.0 + away };
                self.cached_person(jid)?.asked_at = Some(Timestamp(at));
            }
            ["cached", "caps", hash, ver, identity, features @ ..] => {
                let key = CapsKey { hash: (*hash).to_owned(), ver: (*ver).to_owned() };
                let mut parts = identity.splitn(3, '/').map(str::to_owned);
                let identity =
                    parts.next().zip(parts.next()).map(|(category, kind)| (category, kind, parts.next()));
                let features = features.iter().map(|&feature| feature.into()).collect();
                self.cached.caps.push((key, CapsRecord { identity, features }));
            }
            ["cached", "presence", rest @ ..] => self.cached.presence = own_presence(rest)?,
            _ => return Ok(false),
        }
        if self.session.is_some() {
            Err("too late for that: the play has begun".to_owned())
        } else {
            Ok(true)
        }
    }

    fn cached_person(&mut self, jid: &str) -> Result<&mut PersonRecord, String> {
        let jid = bare(jid)?;
        let people = &mut self.cached.people;
        let at = people.iter().position(|(known, _)| *known == jid).unwrap_or_else(|| {
            people.push((jid, PersonRecord::default()));
            people.len() - 1
        });
        Ok(&mut people[at].1)
    }

    fn cause(&mut self, words: &[&str], block: &str) -> Result<Vec<Shown>, String> {
        let session = self.session.as_mut().ok_or("no session")?;
        let wanted = match words {
            ["connecting"] => session.happen(vec![Input::Connecting]),
            ["online", jid, rest @ ..] => {
                let jid = jid.parse().map_err(|error| format!("{jid}: {error}"))?;
                let roster_versioning = rest.contains(&"versioning");
                let stanza_bytes = max_bytes(rest)?;
                let client_state = rest.contains(&"client-state");
                session.happen(vec![Input::Online { jid, roster_versioning, stanza_bytes, client_state }])
            }
            ["suspended"] => session.happen(vec![Input::Suspended]),
            ["resumed", rest @ ..] => session.happen(vec![Input::Resumed { stanza_bytes: max_bytes(rest)? }]),
            ["offline", rest @ ..] => {
                let retry = rest.iter().find_map(|word| word.strip_prefix("retry="));
                let retry = retry.map(span).transpose()?.map(|after| {
                    Timestamp(session.now_wall().0 + i64::try_from(after.as_millis()).unwrap_or_default())
                });
                let failure =
                    rest.first().filter(|word| !word.starts_with("retry=")).map(|word| failure(word));
                session.happen(vec![Input::Offline { failure: failure.transpose()?, retry_at: retry }])
            }
            ["a", "UI", "watches"] => session.happen(vec![Input::Watched(true)]),
            ["nobody", "watches"] => session.happen(vec![Input::Watched(false)]),
            ["server", "acknowledges", names @ ..] if !names.is_empty() => {
                let marks = session.answer_marks(names)?;
                session.happen(vec![Input::Acknowledged(marks)])
            }
            ["stream", "loses", names @ ..] if !names.is_empty() => {
                let unsent = Unsent { doubtful: session.answer_marks(names)?, unwritten: Vec::new() };
                session.happen(vec![Input::Unsent(unsent)])
            }
            ["stream", "never", "wrote", names @ ..] if !names.is_empty() => {
                let unsent = Unsent { doubtful: Vec::new(), unwritten: session.answer_marks(names)? };
                session.happen(vec![Input::Unsent(unsent)])
            }
            ["restart"] => {
                session.restart();
                Vec::new()
            }
            ["disk", "is", "slow"] => {
                session.slow_disk();
                Vec::new()
            }
            ["disk", "keeps", "it"] => session.disk(Disk::Keeps).ok_or("no write is next")?,
            ["disk", "finds", "it"] => session.disk(Disk::Finds).ok_or("no read is next")?,
            ["disk", "finds", "nothing"] => session.disk(Disk::FindsNothing).ok_or("no read is next")?,
            ["disk", "fails"] => session.disk(Disk::Fails).ok_or("the disk has nothing to do")?,
            ["later", by] => session.later(span(by)?),
            ["server", "sends"] => session.happen(stanzas(&self.names.put_in(block))?),
            ["server", "sends", count, "times"] => {
                let count = count.parse().map_err(|_| format!("a number: {count}"))?;
                session.happen(stanzas(&times(count, &self.names.put_in(block)))?)
            }
            ["ui", name, rest @ ..] => {
                let (rest, count) = match rest {
                    [rest @ .., count, "times"] => {
                        (rest, count.parse().map_err(|_| format!("a number: {count}"))?)
                    }
                    rest => (rest, 1),
                };
                let mut wanted = Vec::new();
                for _ in 0..count {
                    let label = count_use(&mut self.uses, name, "#");
                    let (call, more) = session.call(command(name, rest)?);
                    self.labels.insert(call, label);
                    wanted.extend(more);
                }
                wanted
            }
            _ => return Err(format!("not understood: {}", words.join(" "))),
        };
        Ok(wanted.iter().map(|wanted| self.show(wanted)).collect())
    }

    fn show(&self, Wanted { effect, account }: &Wanted) -> Shown {
        let show = Show { start: START };
        match effect {
            Effect::Send { stanza, mark, .. } => {
                let name = |mark| self.session.as_ref().and_then(|session| session.mark_name(mark));
                let name = mark.and_then(name).map(|name| format!(" {name}")).unwrap_or_default();
                Shown { head: format!("prosed sends{name}"), body: Body::Xml(Box::new(element(stanza))) }
            }
            Effect::Save { write, .. } => show.write(write),
            Effect::Read { query, .. } => Show::query(query),
            Effect::ClientState { active } => {
                let state = if *active { "active" } else { "inactive" };
                Shown { head: format!("prosed becomes {state}"), body: Body::Nothing }
            }
            Effect::Reply { call, result } => {
                show.answer(self.labels.get(call).map_or("?", String::as_str), result)
            }
            Effect::Notify(notice) => show.notice(notice, account),
        }
    }

    fn compare(&mut self, step: &Step, actual: &Shown) -> Result<(), String> {
        let same = self.names.put_in(&step.head).trim() == actual.head
            && match &actual.body {
                Body::Nothing => step.block.is_empty(),
                Body::Lines(lines) => self.names.put_in(&step.block).lines().eq(lines),
                Body::Xml(element) => {
                    let expected = xml::read(&self.names.put_in(&step.block))?;
                    let [expected] = expected.as_slice() else { return Err("one stanza".to_owned()) };
                    xml::matches(expected, element, &mut self.names)
                }
            };
        if same {
            return Ok(());
        }
        Err(format!("this does not happen, but\n{}", self.script_of(actual).join("\n")))
    }

    /// What happened, as a script would say it.
    pub(crate) fn script_of(&self, shown: &Shown) -> Vec<String> {
        let mut lines = vec![shown.head.clone()];
        match &shown.body {
            Body::Nothing => {}
            Body::Lines(body) => lines.extend(body.iter().map(|line| format!("  {line}"))),
            Body::Xml(element) => lines.extend(xml::show(element).iter().map(|line| format!("  {line}"))),
        }
        lines.iter().map(|line| self.names.fold(line)).collect()
    }

    /// Names the request in `shown`, if it is one, for what it asks.
    pub(crate) fn name_request(&mut self, shown: &Shown) {
        let Body::Xml(element) = &shown.body else { return };
        let (Some(id), Some("get" | "set")) = (element.attr("id"), element.attr("type")) else { return };
        let Some(payload) = element.children().next() else { return };
        let node = payload.children().next().and_then(|items| items.attr("node")).unwrap_or_default();
        let name = match (payload.ns().as_str(), node) {
            ("jabber:iq:roster", _) => "roster",
            ("urn:xmpp:carbons:2", _) => "carbons",
            ("urn:xmpp:ping", _) => "ping",
            ("http://jabber.org/protocol/disco#info", _) => "disco",
            ("vcard-temp", _) => "temp",
            (_, "urn:xmpp:avatar:metadata") => "metadata",
            (_, "urn:xmpp:avatar:data") => "data",
            (_, "urn:xmpp:vcard4") => "vcard",
            (_, "urn:ietf:params:xml:ns:vcard-4.0") => "prose",
            _ => "request",
        };
        let name = count_use(&mut self.uses, &format!("${name}"), "");
        self.names.bind(&name[1..], id.to_owned());
    }
}

/// `name` the first time, then `name` and the number of the use.
fn count_use(uses: &mut BTreeMap<String, usize>, name: &str, separator: &str) -> String {
    let uses = uses.entry(name.to_owned()).or_default();
    *uses += 1;
    if *uses == 1 { name.to_owned() } else { format!("{name}{separator}{uses}") }
}

fn element(stanza: &Stanza) -> Element {
    match stanza {
        Stanza::Iq(iq) => iq.clone().into(),
        Stanza::Message(message) => message.clone().into(),
        Stanza::Presence(presence) => presence.clone().into(),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words").to_owned()
}
