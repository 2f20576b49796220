CREATE TABLE category (
    id        bigint PRIMARY KEY,
    parent_id bigint REFERENCES category (id),
    name      text NOT NULL
);
CREATE TABLE brand (
    id      bigint PRIMARY KEY,
    name    text NOT NULL,
    country text NOT NULL
);
CREATE TABLE supplier (
    id             bigint PRIMARY KEY,
    name           text NOT NULL,
    lead_time_days integer NOT NULL
);
CREATE TABLE tax_class (
    id            bigint PRIMARY KEY,
    name          text NOT NULL,
    rate_permille integer NOT NULL
);
CREATE TABLE product (
    id           bigint PRIMARY KEY,
    sku          text NOT NULL UNIQUE,
    slug         text NOT NULL,
    category_id  bigint NOT NULL REFERENCES category (id),
    brand_id     bigint NOT NULL REFERENCES brand (id),
    supplier_id  bigint NOT NULL REFERENCES supplier (id),
    tax_class_id bigint NOT NULL REFERENCES tax_class (id),
    weight_g     integer NOT NULL,
    version      bigint NOT NULL DEFAULT 1,
    updated_at   timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE product_text (
    product_id  bigint NOT NULL REFERENCES product (id) ON DELETE CASCADE,
    locale      text NOT NULL,
    title       text NOT NULL,
    summary     text NOT NULL,
    description text NOT NULL,
    PRIMARY KEY (product_id, locale)
);
CREATE TABLE price (
    product_id   bigint NOT NULL REFERENCES product (id) ON DELETE CASCADE,
    currency     text NOT NULL,
    amount_cents bigint NOT NULL CHECK (amount_cents > 0),
    list_cents   bigint NOT NULL,
    PRIMARY KEY (product_id, currency)
);
CREATE INDEX price_by_amount ON price (currency, amount_cents, product_id);
CREATE TABLE inventory (
    sku      text PRIMARY KEY REFERENCES product (sku) ON DELETE CASCADE,
    on_hand  bigint NOT NULL CHECK (on_hand >= 0),
    reserved bigint NOT NULL DEFAULT 0 CHECK (reserved BETWEEN 0 AND on_hand)
);
CREATE TABLE media (
    product_id bigint NOT NULL REFERENCES product (id) ON DELETE CASCADE,
    position   integer NOT NULL,
    url        text NOT NULL,
    alt        text NOT NULL,
    PRIMARY KEY (product_id, position)
);
CREATE TABLE review_summary (
    product_id bigint PRIMARY KEY REFERENCES product (id) ON DELETE CASCADE,
    stars      bigint[] NOT NULL CHECK (cardinality(stars) = 5)
);

-- Lines keep the sku of a product that is gone, so they do not reference it.
CREATE TABLE customer_order (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    total_cents bigint NOT NULL,
    placed_at   timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE order_line (
    order_id   bigint NOT NULL REFERENCES customer_order (id),
    sku        text NOT NULL,
    quantity   bigint NOT NULL CHECK (quantity > 0),
    unit_cents bigint NOT NULL,
    PRIMARY KEY (order_id, sku)
);
