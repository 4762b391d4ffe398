package product

import (
	"context"

	"sluice/catalog/internal/web"
	"sluice/catalog/product/internal/api"
	"sluice/core/db"
	"sluice/core/ids"
)

// ListCategories implements api.StrictServerInterface.
func (s server) ListCategories(ctx context.Context, r api.ListCategoriesRequestObject) (api.ListCategoriesResponseObject, error) {
	t, err := s.Tree(ctx, r.Params.ReadAfter)
	if err != nil {
		return nil, err
	}
	page, more, err := t.Below(r.Params.ParentID, r.Params.Deep, r.Params.Cursor, r.Params.Limit.Or(listLimit))
	if err != nil {
		return nil, err
	}
	list := api.ListCategories200JSONResponse{Data: []api.CategoryItem{}}
	for i := range page {
		of := shownItem(t, &page[i])
		list.Data = append(list.Data, api.CategoryItem{
			CategoryID: of.CategoryID, ParentID: of.ParentID, Position: of.Position, State: of.State, Version: of.Version, Names: of.Names,
			Depth: of.Depth, Children: of.Children, Usable: of.Usable,
		})
	}
	if more {
		text := page[len(page)-1].ID.String()
		list.NextCursor = &text
	}
	return list, nil
}

// ShowCategory implements api.StrictServerInterface.
func (s server) ShowCategory(ctx context.Context, r api.ShowCategoryRequestObject) (api.ShowCategoryResponseObject, error) {
	t, path, err := s.path(ctx, r.CategoryID, r.Params.ReadAfter)
	if err != nil {
		return nil, err
	}
	of := path[len(path)-1]
	body := shownItem(t, &of)
	for _, c := range path {
		body.Path = append(body.Path, api.CategoryName{CategoryID: c.ID, Names: api.Names(c.Names)})
	}
	return api.ShowCategory200JSONResponse{Body: body, Headers: api.ShowCategory200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// path is a category with those above it.
func (s server) path(ctx context.Context, id ids.Category, from db.Position) (*Tree, []Category, error) {
	t, err := s.Tree(ctx, from)
	if err != nil {
		return nil, nil, err
	}
	path := t.Path(id)
	if len(path) == 0 {
		return nil, nil, errUnknownCategory
	}
	return t, path, nil
}

// ListAttributes implements api.StrictServerInterface.
func (s server) ListAttributes(ctx context.Context, r api.ListAttributesRequestObject) (api.ListAttributesResponseObject, error) {
	t, path, err := s.path(ctx, r.CategoryID, r.Params.ReadAfter)
	if err != nil {
		return nil, err
	}
	body := api.Attributes{Data: []api.Attribute{}}
	for _, a := range t.Attributes(r.CategoryID) {
		body.Data = append(body.Data, shownAttribute(&a))
	}
	version := web.Version(path[len(path)-1].Version)
	return api.ListAttributes200JSONResponse{Body: body, Headers: api.ListAttributes200ResponseHeaders{ETag: version}}, nil
}

// MakeCategory implements api.StrictServerInterface.
func (s server) MakeCategory(ctx context.Context, r api.MakeCategoryRequestObject) (api.MakeCategoryResponseObject, error) {
	to := Category{Names: Names(r.Body.Names)}
	if r.Body.ParentID != nil {
		to.Parent = *r.Body.ParentID
	}
	if r.Body.Position != nil {
		to.Position = *r.Body.Position
	}
	of, err := s.Products.MakeCategory(ctx, caller(ctx, r.Params.IdempotencyKey), to)
	if err != nil {
		return nil, err
	}
	s.wrote(ctx)
	return api.MakeCategory201JSONResponse{Body: shownCategory(&of), Headers: api.MakeCategory201ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// ChangeCategory implements api.StrictServerInterface.
func (s server) ChangeCategory(ctx context.Context, r api.ChangeCategoryRequestObject) (api.ChangeCategoryResponseObject, error) {
	to := Category{ID: r.CategoryID, Position: r.Body.Position, State: State(r.Body.State), Names: Names(r.Body.Names)}
	if r.Body.ParentID != nil {
		to.Parent = *r.Body.ParentID
	}
	of, err := s.Products.ChangeCategory(ctx, caller(ctx, r.Params.IdempotencyKey), r.Params.IfMatch, to)
	if err != nil {
		return nil, err
	}
	s.wrote(ctx)
	return api.ChangeCategory200JSONResponse{Body: shownCategory(&of), Headers: api.ChangeCategory200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// SetAttribute implements api.StrictServerInterface.
func (s server) SetAttribute(ctx context.Context, r api.SetAttributeRequestObject) (api.SetAttributeResponseObject, error) {
	a := Attribute{Code: r.Attribute, Kind: Kind(r.Body.Kind), Required: r.Body.Required, Names: Names(r.Body.Names)}
	if r.Body.Unit != nil {
		if a.Unit = *r.Body.Unit; a.Unit == "" {
			return nil, malformed("/unit", "want 1 to %d bytes", unitBytesMax)
		}
	}
	if r.Body.Choices != nil {
		for _, c := range *r.Body.Choices {
			a.Choices = append(a.Choices, Choice{Code: c.Code, Names: Names(c.Names)})
		}
		if len(a.Choices) == 0 {
			return nil, malformed("/choices", "want 1 to %d for an attribute of the kind choice", choicesMax)
		}
	}
	of, err := s.Products.SetAttribute(ctx, caller(ctx, r.Params.IdempotencyKey), r.CategoryID, r.Params.IfMatch, a)
	if err != nil {
		return nil, err
	}
	s.wrote(ctx)
	return api.SetAttribute200JSONResponse{Body: shownCategory(&of), Headers: api.SetAttribute200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// RemoveAttribute implements api.StrictServerInterface.
func (s server) RemoveAttribute(ctx context.Context, r api.RemoveAttributeRequestObject) (api.RemoveAttributeResponseObject, error) {
	if !codeForm.MatchString(r.Attribute) {
		return nil, malformed("", "the code of an attribute: want 1 to 40 lower-case letters, digits and _ that begin with a letter")
	}
	of, err := s.Products.RemoveAttribute(ctx, caller(ctx, r.Params.IdempotencyKey), r.CategoryID, r.Params.IfMatch, r.Attribute)
	if err != nil {
		return nil, err
	}
	s.wrote(ctx)
	return api.RemoveAttribute200JSONResponse{Body: shownCategory(&of), Headers: api.RemoveAttribute200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// shownCategory is a category as the API shows it.
func shownCategory(c *Category) api.Category {
	return api.Category{
		CategoryID: c.ID, ParentID: optional(c.Parent), Position: c.Position, State: api.ShownState(c.State), Version: int(c.Version), Names: api.Names(c.Names),
	}
}

// shownItem is a category of a tree as the API shows it, without its path.
func shownItem(t *Tree, c *Category) api.CategoryOnPath {
	return api.CategoryOnPath{
		CategoryID: c.ID, ParentID: optional(c.Parent), Position: c.Position, State: api.ShownState(c.State), Version: int(c.Version), Names: api.Names(c.Names),
		Depth: t.Depth(c.ID), Children: t.Children(c.ID), Usable: t.Usable(c.ID),
	}
}

func optional(id ids.Category) *ids.Category {
	if id == 0 {
		return nil
	}
	return &id
}

// shownAttribute is an attribute as the API shows it.
func shownAttribute(a *Inherited) api.Attribute {
	of := api.Attribute{CategoryID: a.From, Code: a.Code, Kind: api.AttributeKind(a.Kind), Required: a.Required, Names: api.Names(a.Names)}
	if a.Unit != "" {
		of.Unit = &a.Unit
	}
	if len(a.Choices) > 0 {
		choices := make([]api.Choice, len(a.Choices))
		for i, c := range a.Choices {
			choices[i] = api.Choice{Code: c.Code, Names: api.Names(c.Names)}
		}
		of.Choices = &choices
	}
	return of
}
