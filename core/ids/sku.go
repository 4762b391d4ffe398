package ids

const (
	skuBits   = 12
	batchFlag = 1 << 62 // it keeps the SKUs of coupon batches apart from those of products
)

// A product has up to SKUsMax SKUs, and the highest product is ProductMax. So SKUs of products stay below 2^62.
const (
	SKUsMax    = 1 << skuBits
	ProductMax = Product(1<<(62-skuBits) - 1)
)

// SKU is the id of a product's SKU n, 0 to SKUsMax-1.
func SKU(product Product, n int) (sku int64, ok bool) {
	if product < 1 || product > ProductMax || n < 0 || n >= SKUsMax {
		return 0, false
	}
	return int64(product)<<skuBits | int64(n), true
}

// ProductOf is the product of a SKU, and the SKU's number in it. It is false for SKUs that no product has.
func ProductOf(sku int64) (product Product, n int, ok bool) {
	product, n = Product(sku>>skuBits), int(sku&(SKUsMax-1))
	return product, n, product >= 1 && product <= ProductMax
}

// BatchSKU is the SKU of a coupon batch, 1 to 2^62-1: its units are the coupons.
func BatchSKU(batch int64) (sku int64, ok bool) {
	if batch < 1 || batch >= batchFlag {
		return 0, false
	}
	return batchFlag | batch, true
}

// BatchOf is the coupon batch of a SKU. It is false for all other SKUs.
func BatchOf(sku int64) (batch int64, ok bool) {
	if sku <= batchFlag {
		return 0, false
	}
	return sku &^ batchFlag, true
}
