-- Headings that a cell shows, such as the names of the library's reference, belong to the page: without this they are missing from "On this page".
function Div(div)
  local heading = div.content:find_if(function(block) return block.t == 'Header' end)
  if div.classes:includes('cell') and heading then return div.content end
end
