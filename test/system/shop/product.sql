SELECT p.id, p.sku, p.slug, p.weight_g, p.version, p.updated_at,
       t.title, t.summary, t.description,
       c.id, c.name, d.id, d.name,
       b.id, b.name, b.country,
       s.id, s.name, s.lead_time_days,
       e.currency, e.amount_cents, e.list_cents, x.name, x.rate_permille,
       i.on_hand - i.reserved, m.media, r.stars
FROM product p
JOIN product_text t ON t.product_id = p.id AND t.locale = 'en'
JOIN category c ON c.id = p.category_id
JOIN category d ON d.id = c.parent_id
JOIN brand b ON b.id = p.brand_id
JOIN supplier s ON s.id = p.supplier_id
JOIN price e ON e.product_id = p.id AND e.currency = 'EUR'
JOIN tax_class x ON x.id = p.tax_class_id
JOIN inventory i ON i.sku = p.sku
JOIN review_summary r ON r.product_id = p.id
CROSS JOIN LATERAL (
    SELECT coalesce(json_agg(json_build_object('url', url, 'alt', alt) ORDER BY position), '[]') AS media
    FROM media WHERE product_id = p.id
) m
WHERE p.id = $1
