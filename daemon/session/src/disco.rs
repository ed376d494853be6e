//! XEP-0030: Service Discovery, §3 (information): reading and writing it.
//!
//! Left out: items (§4).

use std::collections::BTreeSet;

use minidom::Element;
use xmpp_parsers::disco::{DiscoInfoQuery, DiscoInfoResult, Identity};
use xmpp_parsers::iq::IqPayload;
use xmpp_parsers::ns;

use crate::bounds;
use crate::model::CapsRecord;
use crate::xml::{self, capped};

pub(crate) const FEATURES: &[&str] = &[ns::DISCO_INFO];

pub(crate) fn is_info_query(payload: &Element) -> bool {
    payload.is("query", ns::DISCO_INFO)
}

pub(crate) fn info_query(node: Option<String>) -> IqPayload {
    IqPayload::Get(DiscoInfoQuery { node }.into())
}

/// What an entity says about itself, verbatim: nothing is merged, so that a caps hash can be checked against it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Info {
    pub(crate) identities: Vec<IdentityText>,
    pub(crate) features: Vec<String>,
    pub(crate) forms: Vec<Form>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
pub(crate) struct IdentityText {
    pub(crate) category: String,
    pub(crate) type_: String,
    pub(crate) lang: String,
    pub(crate) name: String,
}

/// XEP-0128: an extension form.
#[derive(Debug, PartialEq)]
pub(crate) struct Form {
    pub(crate) fields: Vec<(String, Option<String>, Vec<String>)>,
}

impl Info {
    /// `None`: not an answer at all, or far too large.
    pub(crate) fn read(query: &Element) -> Option<Self> {
        if !query.is("query", ns::DISCO_INFO) {
            return None;
        }
        let mut info = Self::default();
        for child in query.children() {
            if child.is("identity", ns::DISCO_INFO) {
                let text = |name: &str| child.attr(name).unwrap_or_default().to_owned();
                info.identities.push(IdentityText {
                    category: text("category"),
                    type_: text("type"),
                    lang: child.attr_ns(xml::NS, "lang").unwrap_or_default().to_owned(),
                    name: text("name"),
                });
            } else if child.is("feature", ns::DISCO_INFO) {
                // One without a name is ignored.
                info.features.extend(child.attr("var").map(str::to_owned));
            } else if child.is("x", ns::DATA_FORMS) {
                info.forms.push(Form::read(child));
            }
        }
        (info.features.len() <= bounds::CAPS_FEATURES).then_some(info)
    }

    pub(crate) fn record(&self) -> CapsRecord {
        let short = |text: &str| capped(text, bounds::NAME_CHARS);
        let name = |identity: &IdentityText| Some(short(&identity.name)).filter(|name| !name.is_empty());
        CapsRecord {
            identity: self.identities.first().map(|one| (short(&one.category), short(&one.type_), name(one))),
            features: self.features.iter().map(|feature| short(feature).into()).collect(),
        }
    }

    /// Our own answer to a query for `node`.
    pub(crate) fn answer(&self, node: Option<String>) -> Element {
        let identities = self.identities.iter().map(|one| Identity {
            category: one.category.clone(),
            type_: one.type_.clone(),
            lang: None,
            name: Some(one.name.clone()),
        });
        DiscoInfoResult {
            node,
            identities: identities.collect(),
            features: self.features.iter().cloned().collect::<BTreeSet<_>>(),
            extensions: Vec::new(),
        }
        .into()
    }
}

impl Form {
    fn read(form: &Element) -> Self {
        let fields = form.children().filter(|child| child.is("field", ns::DATA_FORMS));
        Self {
            fields: fields
                .map(|field| {
                    let values = field.children().filter(|child| child.is("value", ns::DATA_FORMS));
                    let var = field.attr("var").unwrap_or_default().to_owned();
                    (var, field.attr("type").map(str::to_owned), values.map(Element::text).collect())
                })
                .collect(),
        }
    }

    /// Its `FORM_TYPE` values, if that is the hidden field required by XEP-0068.
    pub(crate) fn form_type(&self) -> Option<&[String]> {
        let (_, type_, values) = self.fields.iter().find(|(var, ..)| var == "FORM_TYPE")?;
        (type_.as_deref() == Some("hidden")).then_some(values)
    }
}
