//! Reads `xmsBatch`. Knows that one wrong item leaves the others alone; must not know what becomes of an item.

use super::data::data;
use super::document::{ReadError, children, end, root};
use super::{InvalidFormat, XmsData, open};
use crate::oms::xml::{Element, Limits, Pull};
use std::borrow::Cow;

/// The id of an item in the spelling the client chose; the answer repeats both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemId<'a> {
    /// `id`
    Lower(Cow<'a, str>),
    /// `Id`
    Upper(Cow<'a, str>),
}

/// What an item holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemBody<'a> {
    Message(Box<XmsData<'a>>),
    /// Well-formed, and no `xmsData` that could be sent: `invalidFormat`.
    Invalid,
    /// Beyond the limit, not looked into: `perBatchMsgLimit`.
    Surplus,
}

/// One item, in request order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchItem<'a> {
    /// Ids are echoed, not keys: two items may have the same.
    pub id: Option<ItemId<'a>>,
    pub body: ItemBody<'a>,
}

/// The argument of `DeliverXmsBatch`: at least one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    pub client: Option<Cow<'a, str>>,
    pub items: Vec<BatchItem<'a>>,
}

impl<'a> Batch<'a> {
    /// Reads the whole document; of the items after `items_max` only the ids.
    ///
    /// # Errors
    /// The document does not parse to its end, is no `xmsBatch`, or has no item. Nothing of it may be sent then.
    pub fn parse(argument: &'a str, limits: &Limits, items_max: usize) -> Result<Self, InvalidFormat> {
        let mut pull = open(argument, limits)?;
        let root = root(&mut pull, "xmsBatch")?;
        let mut items = Vec::new();
        children(&mut pull, |pull, child| {
            if child.local != "xmsData" {
                return Ok(false);
            }
            let body = if items.len() < items_max { item(pull, child)? } else { ItemBody::Surplus };
            items.push(BatchItem { id: item_id(child), body });
            Ok(!matches!(items.last(), Some(BatchItem { body: ItemBody::Surplus, .. })))
        })?;
        end(&mut pull)?;
        if items.is_empty() { Err(InvalidFormat) } else { Ok(Self { client: root.attribute("client"), items }) }
    }
}

fn item<'a>(pull: &mut Pull<'a>, element: &Element<'a>) -> Result<ItemBody<'a>, ReadError> {
    let depth = pull.depth() - 1;
    match data(pull, element) {
        Ok(data) => Ok(ItemBody::Message(Box::new(data))),
        Err(ReadError::Wrong) => {
            pull.skip_to(depth)?;
            Ok(ItemBody::Invalid)
        }
        Err(ReadError::Broken) => Err(ReadError::Broken),
    }
}

fn item_id<'a>(element: &Element<'a>) -> Option<ItemId<'a>> {
    let lower = element.attribute("id").map(ItemId::Lower);
    lower.or_else(|| element.attribute("Id").map(ItemId::Upper))
}
