//! Tags of instances.

use super::{Answer, key_of};
use crate::Inner;
use crate::describe::write_tags;
use crate::params::Params;
use crate::xml::Xml;
use std::sync::Arc;

pub(super) fn add_tags(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = key_of(region, &params.need("ResourceName")?)?;
    let tags = params.tags();
    params.finish()?;
    inner.lock().record_mut(&key)?.tags.extend(tags);
    Ok(None)
}

pub(super) fn remove_tags(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = key_of(region, &params.need("ResourceName")?)?;
    let names = params.list("TagKeys");
    params.finish()?;
    inner.lock().record_mut(&key)?.tags.retain(|name, _| !names.contains(name));
    Ok(None)
}

pub(super) fn list_tags(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = key_of(region, &params.need("ResourceName")?)?;
    params.finish()?;
    let mut xml = Xml::default();
    write_tags(&mut xml, &inner.lock().get(&key)?.record.tags);
    Ok(Some(xml))
}
