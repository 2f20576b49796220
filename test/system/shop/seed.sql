-- Every value follows from the id, so two shops of the same size are the same.
INSERT INTO category
SELECT g, NULL, 'Department ' || g FROM generate_series(1, 20) g;
INSERT INTO category
SELECT g, 1 + g % 20, 'Category ' || g FROM generate_series(21, 420) g;
INSERT INTO brand
SELECT g, 'Brand ' || g, (ARRAY['DE', 'FR', 'IT', 'PL', 'SE'])[1 + g % 5] FROM generate_series(1, 500) g;
INSERT INTO supplier
SELECT g, 'Supplier ' || g, 1 + g % 21 FROM generate_series(1, 200) g;
INSERT INTO tax_class VALUES (1, 'standard', 190), (2, 'reduced', 70), (3, 'exempt', 0);

INSERT INTO product (id, sku, slug, category_id, brand_id, supplier_id, tax_class_id, weight_g, updated_at)
SELECT g, 'P' || lpad(g::text, 7, '0'), 'product-' || g, 21 + g % 400, 1 + g % 500, 1 + g % 200,
       CASE WHEN g % 10 = 0 THEN 2 ELSE 1 END, 50 + g * 37 % 5000, '2026-01-01T00:00:00Z'
FROM generate_series(1, current_setting('shop.products')::bigint) g;

INSERT INTO product_text
SELECT id, 'en', 'Product ' || id, 'A dependable companion, number ' || id || ' of its line.',
       string_agg((ARRAY[
           'Made from recycled aluminium and finished by hand, it takes daily use without complaint.',
           'The battery lasts through a long weekend and charges in under an hour from any port.',
           'Every seam is sealed, every screw can be reached, and spare parts are kept for ten years.',
           'It folds flat, weighs less than it looks, and comes with a pouch that you will actually use.',
           'Independent laboratories tested it in heat, frost and salt water before it was released.',
           'Setting it up takes two minutes: open the box, press the one button, and you are done.',
           'Colours are dyed through, so that scratches do not show and sunlight does not fade them.'
       ])[1 + (id + n) % 7], ' ' ORDER BY n)
FROM product, generate_series(1, 10) n
GROUP BY id;

INSERT INTO price
SELECT id, 'EUR', 199 + id * 7919 % 20000, (199 + id * 7919 % 20000) * 12 / 10 FROM product;
INSERT INTO inventory
SELECT sku, 100 + id % 900, 0 FROM product;
INSERT INTO media
SELECT id, n, 'https://img.shop.example/' || id || '/' || n || '.webp', 'Product ' || id || ', view ' || n
FROM product, generate_series(1, 3) n;
INSERT INTO review_summary
SELECT id, ARRAY[id % 3, id % 5, id % 11, id % 37, id % 101] FROM product;
