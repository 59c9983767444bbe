//! Variables that were saved in slices: joined where the slices cut the first axis alone, which is how TensorFlow
//! partitions variables unless told otherwise.

use super::proto::{Fields, Value};

/// A slice along one axis; `length` is `None` for all there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Extent {
    pub start: u64,
    pub length: Option<u64>,
}

/// The axes of a `TensorSliceProto`.
pub(super) fn extents(mut fields: Fields<'_>, buffer: &[u8]) -> Result<Vec<Extent>, String> {
    let mut extents = Vec::new();
    while let Some((field, value)) = fields.next()? {
        let (1, Value::Bytes(range)) = (field, value) else { continue };
        let mut extent = Extent { start: 0, length: None };
        let mut inner = Fields::within(buffer, range);
        while let Some((field, value)) = inner.next()? {
            match (field, value) {
                (1, Value::Varint(start)) => extent.start = start,
                (2, Value::Varint(length)) => extent.length = Some(length),
                _ => {}
            }
        }
        extents.push(extent);
    }
    Ok(extents)
}

/// The shape of a slice of a tensor.
pub(super) fn shape(whole: &[u64], extents: &[Extent]) -> Result<Vec<u64>, String> {
    if whole.len() != extents.len() {
        return Err(format!("a slice must have {} axes, got {}", whole.len(), extents.len()));
    }
    whole
        .iter()
        .zip(extents)
        .map(|(&side, extent)| {
            let length = extent.length.unwrap_or_else(|| side.saturating_sub(extent.start));
            match extent.start.checked_add(length) {
                Some(end) if end <= side => Ok(length),
                _ => Err(format!("a slice must be inside 0..{side}, got {length} at {}", extent.start)),
            }
        })
        .collect()
}

/// The slices of a tensor in the order of their rows.
///
/// # Errors
/// Slices that cut another axis than the first, that overlap, or that leave something out.
pub(super) fn in_order<T>(whole: &[u64], mut slices: Vec<(Vec<Extent>, T)>) -> Result<Vec<T>, String> {
    let mut rows = 0;
    slices.sort_by_key(|(extents, _)| extents.first().map_or(0, |first| first.start));
    for (extents, _) in &slices {
        let part = shape(whole, extents)?;
        if part.iter().zip(whole).skip(1).any(|(part, whole)| part != whole) {
            return Err(format!("slices must cut the first axis alone, got {part:?} of {whole:?}"));
        }
        let start = extents.first().map_or(0, |first| first.start);
        if start != rows {
            return Err(format!("a slice must begin at row {rows}, got {start}"));
        }
        // A scalar has no axis and one slice.
        rows += part.first().copied().unwrap_or(1);
    }
    let all = whole.first().copied().unwrap_or(1);
    if rows != all || (slices.len() > 1 && whole.is_empty()) {
        return Err(format!("its slices must have {all} rows in all, got {rows}"));
    }
    Ok(slices.into_iter().map(|(_, slice)| slice).collect())
}

/// The key under which a bundle keeps a slice, in TensorFlow's `OrderedCode`: it sorts as its parts do.
pub(super) fn key(name: &str, extents: &[Extent]) -> Vec<u8> {
    let mut key = vec![0];
    for byte in name.bytes() {
        match byte {
            0 => key.extend([0, 0xff]),
            0xff => key.extend([0xff, 0]),
            byte => key.push(byte),
        }
    }
    key.extend([0, 1]);
    let axes = (extents.len() as u64).to_be_bytes();
    let skipped = axes.iter().take_while(|&&byte| byte == 0).count();
    key.push((axes.len() - skipped) as u8);
    key.extend(&axes[skipped..]);
    for extent in extents {
        key.extend(signed(extent.start as i64));
        key.extend(signed(extent.length.map_or(-1, |length| length as i64)));
    }
    key
}

/// A number in as few bytes as hold it: the first bits of the first byte say how many there are.
fn signed(value: i64) -> Vec<u8> {
    let magnitude = if value < 0 { !value } else { value };
    let bits = 64 - magnitude.leading_zeros();
    let length = (bits / 7 + 1) as usize;
    let mut bytes = if value < 0 { [0xff; 10] } else { [0; 10] };
    bytes[2..].copy_from_slice(&value.to_be_bytes());
    let mut bytes = bytes[10 - length..].to_vec();
    // One bit a byte, and one more so that the sign decides between them.
    let header: u16 = !(0xffff_u16 >> length);
    let [first, second] = header.to_be_bytes();
    bytes[0] ^= first;
    if let Some(byte) = bytes.get_mut(1) {
        *byte ^= second;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(start: u64, length: u64) -> Extent {
        Extent { start, length: Some(length) }
    }

    const FULL: Extent = Extent { start: 0, length: None };

    #[test]
    fn numbers_are_kept_as_tensorflow_keeps_them() {
        for (value, expected) in [
            (0, &[0x80][..]),
            (14, &[0x8e]),
            (-1, &[0x7f]),
            (63, &[0xbf]),
            (64, &[0xc0, 0x40]),
            (-64, &[0x40]),
            (-65, &[0x3f, 0xbf]),
            (8191, &[0xdf, 0xff]),
            (8192, &[0xe0, 0x20, 0x00]),
        ] {
            assert_eq!(signed(value), expected, "{value}");
        }
        let numbers = [i64::MIN, -1 << 40, -8193, -1, 0, 63, 64, 8191, 8192, 1 << 40, i64::MAX];
        assert!(numbers.map(signed).is_sorted(), "keys sort as numbers do");
    }

    #[test]
    fn slices_of_the_first_axis_are_put_in_order() {
        let slices = vec![
            (vec![cut(5, 5), FULL], 'b'),
            (vec![cut(10, 2), cut(0, 3)], 'c'),
            (vec![cut(0, 5), FULL], 'a'),
        ];
        assert_eq!(in_order(&[12, 3], slices), Ok(vec!['a', 'b', 'c']));
        assert_eq!(in_order(&[], vec![(vec![], 'x')]), Ok(vec!['x']));
        assert_eq!(in_order(&[4], vec![(vec![FULL], 'x')]), Ok(vec!['x']));
    }

    #[test]
    fn other_slices_are_refused() {
        let of = |slices: &[&[Extent]]| {
            in_order(&[4, 6], slices.iter().map(|slice| (slice.to_vec(), ())).collect()).unwrap_err()
        };
        assert!(of(&[&[FULL, cut(0, 3)], &[FULL, cut(3, 3)]]).contains("first axis alone"));
        assert!(of(&[&[cut(0, 2), FULL]]).contains("4 rows in all, got 2"));
        assert!(of(&[]).contains("4 rows in all, got 0"));
        assert!(of(&[&[cut(0, 2), FULL], &[cut(1, 3), FULL]]).contains("row 2, got 1"));
        assert!(of(&[&[cut(0, 2), FULL], &[cut(3, 1), FULL]]).contains("row 2, got 3"));
        assert!(of(&[&[cut(0, 5), FULL]]).contains("inside 0..4"));
        assert!(of(&[&[cut(u64::MAX, 2), FULL]]).contains("inside 0..4"));
        assert!(of(&[&[FULL]]).contains("2 axes, got 1"));
    }
}
