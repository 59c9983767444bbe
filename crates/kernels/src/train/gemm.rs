//! Matrix products on checked, strided views; the work is done by the `gemm` crate.

/// A read-only matrix view: element `(i, j)` is `data[i * row_stride + j * column_stride]`.
#[derive(Clone, Copy)]
pub struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

/// A row-major output view; rows may be further apart than they are long.
pub struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

fn check(len: usize, rows: usize, columns: usize, row_stride: usize, column_stride: usize) {
    assert!(rows > 0 && columns > 0, "matrix must not be empty, got {rows} x {columns}");
    let end = |count: usize, stride: usize| (count - 1).checked_mul(stride);
    let last = end(rows, row_stride).zip(end(columns, column_stride)).and_then(|(a, b)| a.checked_add(b));
    assert!(last.is_some_and(|last| last < len), "matrix {rows} x {columns} does not fit {len} numbers");
}

impl<'a> Mat<'a> {
    /// `[rows, columns]`, row-major, rows `row_stride` apart.
    pub fn new(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        check(data.len(), rows, columns, row_stride, 1);
        Mat { data, rows, columns, row_stride, column_stride: 1 }
    }

    /// The transposed view of the same numbers.
    pub fn t(self) -> Self {
        Mat {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

impl<'a> MatMut<'a> {
    /// `[rows, columns]`, row-major, rows `row_stride` apart (at least `columns`).
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        check(data.len(), rows, columns, row_stride, 1);
        assert!(row_stride >= columns, "rows must not overlap");
        MatMut { data, rows, columns, row_stride }
    }
}

/// `out = beta * out + alpha * a b`, on the calling thread. `beta` is 0 or 1.
#[expect(clippy::needless_pass_by_value, reason = "a mutable view is used up by one product")]
pub fn matmul(out: MatMut, beta: f32, alpha: f32, a: Mat, b: Mat) {
    assert_eq!((out.rows, out.columns, a.columns), (a.rows, b.columns, b.rows), "shapes must agree");
    let accumulate = beta != 0.0;
    // SAFETY: the views were checked against their slices, `out` is borrowed mutably and its rows
    // do not overlap; gemm reads `dst` only when `read_dst` is set.
    unsafe {
        gemm::gemm(
            out.rows,
            out.columns,
            a.columns,
            out.data.as_mut_ptr(),
            1,
            out.row_stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            beta,
            alpha,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn product_of_transposed_and_strided_views_is_the_sum_of_products() {
        let a: Vec<f32> = (0..40).map(|i| i as f32 * 0.5 - 7.0).collect(); // [5, 8], 6 used columns
        let b: Vec<f32> = (0..24).map(|i| 3.0 - i as f32 * 0.25).collect(); // [4, 6], used transposed
        let mut out = vec![1.0; 5 * 7];
        matmul(MatMut::new(&mut out, 5, 4, 7), 1.0, 2.0, Mat::new(&a, 5, 6, 8), Mat::new(&b, 4, 6, 6).t());
        for i in 0..5 {
            for j in 0..7 {
                let dot: f32 = (0..6).map(|k| a[i * 8 + k] * if j < 4 { b[j * 6 + k] } else { 0.0 }).sum();
                assert!((out[i * 7 + j] - (1.0 + 2.0 * dot)).abs() < 1e-3);
            }
        }
    }
}
